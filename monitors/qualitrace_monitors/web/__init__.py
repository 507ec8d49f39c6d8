"""The web port: metrics for Prometheus, health for supervisors, the dashboard for people."""
