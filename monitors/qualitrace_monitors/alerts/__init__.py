"""Alerts: rules over estimates, with state that survives restarts."""
