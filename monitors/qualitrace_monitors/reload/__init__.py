"""Reads the configuration anew while the server runs: what changes, what cannot, and who is asked."""
