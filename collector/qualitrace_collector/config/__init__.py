"""How the configuration file is read; its sections stand beside the parts that they configure."""

from qualitrace_collector.config.load import ConfigError, load_config, parse_config

__all__ = ["ConfigError", "load_config", "parse_config"]
