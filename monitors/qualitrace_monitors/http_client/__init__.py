"""Calls to other people's servers, any of which may be slow or broken."""
