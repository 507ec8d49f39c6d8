"""Grafana's dashboards: `qualitrace dashboards`."""
