"""The `receive` process: OTLP over HTTP and gRPC, and people's feedback, into the journal. Never imports mlflow."""
