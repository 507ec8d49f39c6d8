"""Backups of the embedded state while the server runs, and their restoration: `qualitrace backup` and `restore`."""
