"""The Prometheus metrics: what is declared, and what is read at a scrape."""
