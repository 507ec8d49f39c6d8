"""The Prometheus metrics: what is declared, what is counted as scores come in, what is read at a scrape."""
