"""Configuration: flags over environment over `config.toml` over defaults, into frozen settings."""

from swarmnode.config.config import Config, Origin
from swarmnode.config.dotenv import PROVIDER_VARIABLES, ProviderKey, ProviderKeys
from swarmnode.config.key import Key
from swarmnode.config.keys import KEYS
from swarmnode.config.later import LATER, Later
from swarmnode.config.loading import Surroundings, load_config
from swarmnode.config.settings import later_warnings, node_settings
from swarmnode.config.texts import Override, assignment

__all__ = [
    "KEYS",
    "LATER",
    "PROVIDER_VARIABLES",
    "Config",
    "Key",
    "Later",
    "Origin",
    "Override",
    "ProviderKey",
    "ProviderKeys",
    "Surroundings",
    "assignment",
    "later_warnings",
    "load_config",
    "node_settings",
]
