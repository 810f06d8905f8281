"""Values of one YAML or of the command line, each with the place it was written, and how layers become one.

A `KeyPath` is the way to a value: ("model", "vision", "freeze"); items of a list count as "0", "1", ….
OmegaConf reads the values (`1e-4` is a number there), PyYAML's marks give the lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from minigpt4.common.errors import UserError
from minigpt4.common.files import open_regular

KeyPath = tuple[str, ...]


UNSET = re.compile(r"Environment variable '(\w+)' not found")
GLUED = re.compile(r"\s*-?\s*([A-Za-z_]\w*):([^\s:/].*|/[^/].*)$")
"""a key and its value without a blank between; not https://…"""


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a line of a file, an option, or nowhere (a default)."""

    file: Path | None = None
    line: int | None = None
    option: str | None = None
    """the text after --options, where it came from there"""
    written_as: str | None = None
    """the key in the file where it is an original key that lives elsewhere today"""

    def __str__(self) -> str:
        if self.option is not None:
            return f"--options {self.option}"
        if self.file is None:
            return "default"
        return f"{self.file}:{self.line}" if self.line else str(self.file)


DEFAULT = Origin()


@dataclass
class Layer:
    """Nested plain values and the origin of each key path in them."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> Origin:
        """The origin of a value, or of the nearest mapping around it that has one."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return DEFAULT

    def get(self, path: KeyPath, default: object = None) -> Any:
        """The value at a path, or `default` where a step of it is absent."""
        value: Any = self.values
        for key in path:
            if not isinstance(value, Mapping) or key not in value:
                return default
            value = value[key]
        return value

    def part(self, *keys: str) -> Layer:
        """A layer that holds only what is below these keys, still under them."""
        below = self.get(keys)
        if below is None:
            return Layer()
        values: Any = below
        for key in reversed(keys):
            values = {key: values}
        origins = {path: origin for path, origin in self.origins.items() if path[: len(keys)] == keys}
        return Layer(values, origins)

    def moved(self, old: KeyPath, new: KeyPath) -> Layer:
        """The same layer with what stands at `old` put under `new`; both are of the same length."""
        below = self.get(old)
        if below is None:
            return Layer()
        values: Any = below
        for key in reversed(new):
            values = {key: values}
        origins = {
            new + path[len(old) :]: origin for path, origin in self.origins.items() if path[: len(old)] == old
        }
        return Layer(values, origins)


def dotted(path: Sequence[str]) -> str:
    """('model', 'arch') -> 'model.arch'."""
    return ".".join(path)


def read_yaml(path: Path, *, aliases: bool = True) -> Layer:
    """A YAML file as a layer.

    Args:
        path: the file.
        aliases: False = one that uses aliases is refused, before they multiply what it says.

    Raises:
        UserError: it is absent, not YAML, or not a mapping.
    """
    try:
        with open_regular(path) as file:
            text = file.read().decode("utf-8-sig")
    except OSError as error:
        raise UserError(
            "config.file", where=str(path), what=f"cannot be read ({error.strerror})",
            fix="give the path of a YAML file; `minigpt4 configs list` names the packaged ones",
        ) from error
    except UnicodeDecodeError as error:
        raise UserError("config.yaml", where=str(path), what="is not UTF-8 text", fix="save it as UTF-8") from error
    try:
        if not aliases:
            _refuse_aliases(text, path)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = {} if node is None else _plain(OmegaConf.create(text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        fix = _missing_blank(text, line) or "check quotes and indentation there"
        raise UserError("config.yaml", where=f"{path}:{line}", what=f"is not valid YAML: {error.problem}",
                        fix=fix) from error
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise UserError("config.yaml", where=str(path), what=f"is not valid YAML: {reason}") from error
    if node is not None and not isinstance(node, yaml.MappingNode):
        raise UserError("config.yaml", where=str(path), what="has no keys",
                        fix="write `model:`, `datasets:` and `run:` at the left margin")
    origins: dict[KeyPath, Origin] = {(): Origin(path)}
    if node is not None:
        _note_lines(node, (), path, origins)
    return Layer(values, origins)


def _missing_blank(text: str, line: int) -> str:
    """The line at or above one where YAML stumbled that has a key without a blank behind its colon; '' if none."""
    lines = text.splitlines()
    for number in range(min(line, len(lines)), max(0, line - 4), -1):
        if found := GLUED.match(lines[number - 1]):
            return f"a blank is missing after the colon in line {number}: write '{found[1]}: {found[2]}'"
    return ""


def _refuse_aliases(text: str, path: Path) -> None:
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise UserError("config.alias", where=f"{path}:{line}",
                            what=f"uses the alias *{event.anchor}, which the config of a bundle never does",
                            fix="take another copy of the bundle")


def _plain(config: object) -> dict[str, Any]:
    values = OmegaConf.to_container(config, resolve=False)
    return _text_keys(values) if isinstance(values, dict) else {}


def _text_keys(value: object) -> Any:
    """Keys are text all through: a data set may be called 2017."""
    if isinstance(value, dict):
        return {str(key): _text_keys(child) for key, child in value.items()}
    return [_text_keys(child) for child in value] if isinstance(value, list) else value


def _note_lines(node: yaml.Node, path: KeyPath, file: Path, origins: dict[KeyPath, Origin]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            origins[below] = Origin(file, key.start_mark.line + 1)
            _note_lines(value, below, file, origins)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            below = (*path, str(index))
            origins[below] = Origin(file, value.start_mark.line + 1)
            _note_lines(value, below, file, origins)


def read_options(options: Sequence[str]) -> Layer:
    """`--options a.b=c` and the pair form `a.b c` as a layer; values are read as YAML reads them."""
    layers = []
    waiting = list(options)
    while waiting:
        word = waiting.pop(0)
        key, sign, text = word.partition("=")
        if not sign:
            if not waiting:
                raise UserError("config.option", where=f"--options {word}", what="has no value",
                                fix=f"write {word}=VALUE")
            text = waiting.pop(0)
        layers.append(_one_option(key.strip(), text))
    return merge(layers)


def _one_option(key: str, text: str) -> Layer:
    path = tuple(key.split("."))
    option = f"{key}={text}"
    if not all(path):
        raise UserError("config.option", where=f"--options {option}", what=f"'{key}' is not a key",
                        fix="write it with dots, e.g. run.init_lr=3e-5")
    origin = Origin(option=option)
    values: Any = _option_value(text)
    for step in reversed(path):
        values = {step: values}
    return Layer(values, {path[:end]: origin for end in range(1, len(path) + 1)})


def _option_value(text: str) -> Any:
    """Numbers, true, null, lists, mappings and quoted text as YAML reads them; any other text exactly as it stands.

    YAML would take `###` for a comment and drop the blank at the end of a prompt.
    """
    try:
        value = _plain(OmegaConf.create(f"value: {text}"))["value"]
    except (yaml.YAMLError, OmegaConfBaseException):
        return text
    quoted = text.lstrip()[:1] in ("'", '"')
    commented = "#" in text and not isinstance(value, list | dict)
    return text if not quoted and (isinstance(value, str) or commented) else value


def merge(layers: Sequence[Layer]) -> Layer:
    """Later layers win, key by key; lists are replaced whole.

    A mapping whose `name` changes starts over: keys of another encoder or processor mean nothing to this one.
    """
    merged = Layer()
    for layer in layers:
        _merge_into(merged, merged.values, layer.values, (), layer)
    return merged


def _merge_into(merged: Layer, target: dict[str, Any], source: Mapping[str, Any], path: KeyPath, layer: Layer) -> None:
    if () in layer.origins:
        merged.origins.setdefault((), layer.origins[()])
    for key, value in source.items():
        below = (*path, key)
        old = target.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping) and not _starts_anew(old, value):
            if below in layer.origins:
                merged.origins[below] = layer.origins[below]
            _merge_into(merged, old, value, below, layer)
            continue
        for gone in [known for known in merged.origins if known[: len(below)] == below]:
            del merged.origins[gone]
        target[key] = _copy(value)
        merged.origins.update({at: where for at, where in layer.origins.items() if at[: len(below)] == below})


def _starts_anew(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "name" in old and "name" in new and old["name"] != new["name"]


def _copy(value: object) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(child) for key, child in value.items()}
    return [_copy(child) for child in value] if isinstance(value, list) else value


def interpolated(layer: Layer) -> Layer:
    """The layer with `${a.b}` replaced by what stands at a.b. Raises `UserError` if nothing stands there."""
    try:
        values = OmegaConf.to_container(OmegaConf.create(layer.values), resolve=True)
    except OmegaConfBaseException as error:
        key = str(getattr(error, "full_key", "") or "")
        path = tuple(key.split("."))
        reason, fix = str(error).splitlines()[0], "name an existing key in ${…}"
        if unset := UNSET.search(reason):
            reason = f"the environment variable {unset[1]} is not set"
            fix = f"set it (export {unset[1]}=…), or write ${{oc.env:{unset[1]},default}}"
        raise UserError("config.interpolation", where=str(layer.origin(path)),
                        what=f"{key} cannot be filled in: {reason}", fix=fix) from error
    assert isinstance(values, dict), "a layer's values are a mapping"
    return Layer({str(key): value for key, value in values.items()}, layer.origins)
