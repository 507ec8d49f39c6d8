"""The OTLP doors: HTTP and gRPC in, the journal behind them. Never imports mlflow."""
