"""Notifications: a durable outbox, receivers of several kinds, retries, and a heartbeat."""
