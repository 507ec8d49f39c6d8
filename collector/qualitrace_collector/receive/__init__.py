"""The OTLP doors: HTTP and gRPC in, the journal behind them. Never imports mlflow."""

from qualitrace_collector.receive.server import ServeError, main, serve

__all__ = ["ServeError", "main", "serve"]
