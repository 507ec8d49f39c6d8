"""Servers that speak the protocols of model providers, with answers that are known beforehand."""
