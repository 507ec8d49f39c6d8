"""What several test folders share: OTLP builders, waiting with a deadline, free ports."""
