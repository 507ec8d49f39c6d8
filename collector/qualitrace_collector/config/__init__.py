"""The one configuration file: frozen models, loaded with every mistake reported at once."""

from qualitrace_collector.config.load import ConfigError, load_config
from qualitrace_collector.config.models import Config

__all__ = ["Config", "ConfigError", "load_config"]
