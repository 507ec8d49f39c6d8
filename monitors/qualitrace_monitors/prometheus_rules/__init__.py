"""Prometheus' recording and alerting rules, and their tests, from the configuration: `qualitrace rules`."""
