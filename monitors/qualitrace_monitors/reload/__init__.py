"""Reads the configuration again while the server runs: what changes, what cannot, and who is asked."""
