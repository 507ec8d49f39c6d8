"""The web port: metrics for Prometheus, health for supervisors, the dashboard for people."""

from qualitrace_monitors.web.app import create_app
from qualitrace_monitors.web.server import WebServer, WebServerError
from qualitrace_monitors.web.services import WebServices

__all__ = ["WebServer", "WebServerError", "WebServices", "create_app"]
