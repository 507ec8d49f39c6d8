"""Trace and session travel with HTTP requests, from service to service."""
