"""The server's own spans and metrics, sent to an OTLP endpoint."""
