"""The resolved config as YAML: every value written out, so that running the file repeats the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from minigpt4.common.config.load import Config
from minigpt4.common.config.paths import portable


def resolved_yaml(config: Config) -> str:
    """All values of a config, defaults included, as a run YAML that loads to the same config."""
    sections: dict[str, Any] = {}
    if config.imports:
        sections["imports"] = list(config.imports)
    if config.model is not None:
        sections["model"] = plain(config.model)
    if config.datasets:
        sections["datasets"] = {name: _dataset(name, config) for name in config.datasets}
    if config.run is not None:
        sections["run"] = plain(config.run)
    head = f"# written out in full from {config.source}\n"
    return head + yaml.safe_dump(sections, sort_keys=False, allow_unicode=True, width=120)


def _dataset(name: str, config: Config) -> Any:
    values = plain(config.datasets[name])
    if config.builders[name] != name:
        values = {"builder": config.builders[name], **values}
    return values


def plain(value: object) -> Any:
    """Dataclasses as mappings, tuples as lists, paths as text; what the package ships as `parts/…`."""
    if dataclasses.is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value) if each.init}
    if isinstance(value, Mapping):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child) for child in value]
    return portable(str(value)) if isinstance(value, Path | str) else value
