"""uvicorn with bounds on what clients can hold: what the OTLP/HTTP door and the web port share."""
