"""Servers of HTTP/1.1 (uvicorn) and HTTP/2 (h2) with bounds on what clients can hold, for all ports."""
