"""The processes of `qualitrace serve`, put together, supervised and stopped."""
