"""Judge sampled traces, estimate quality, export it to Prometheus and alert when it fell."""
