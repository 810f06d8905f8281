"""The config engine: YAML and options in, one typed and checked `Config` out."""

from minigpt4.common.config.load import Config, load_config, load_fragment
from minigpt4.common.config.paths import expand_shards
from minigpt4.common.config.write import resolved_yaml

__all__ = ["Config", "expand_shards", "load_config", "load_fragment", "resolved_yaml"]
