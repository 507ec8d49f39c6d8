"""The state of things now, for the page `/`, `/status.json` and commands: problems, and services with figures."""
