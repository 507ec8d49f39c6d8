"""Calls to servers of others, of which any may be slow or broken."""
