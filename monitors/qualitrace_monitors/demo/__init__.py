"""The demo: the whole way from a question to an alert, on one machine, without network or key."""
