"""A YAML and options become one typed `Config`, in the original's merge order (docs/originals/minigpt4.md#merge-order).

model: packaged YAML of arch and model_type < the user's. Each data set: packaged YAML of its `type` < the user's.
run: the user's only. Options come last; one that changes arch, model_type or a data set's type also changes the
packaged YAML (the original forgot that). Knows no system: classes come from the registries.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minigpt4.common import registry
from minigpt4.common.config.fields import ConfigOwner, default_names, fields_of
from minigpt4.common.config.layers import KeyPath, Layer, Origin, dotted, interpolated, merge, read_options, read_yaml
from minigpt4.common.config.original import translated, without, without_retired
from minigpt4.common.config.report import FAILED, Report, Spot
from minigpt4.common.config.trust import OWN, Trust, refuse_untrusted_values, refuse_unwanted_imports
from minigpt4.common.config.typed import make_dataclass
from minigpt4.common.errors import UserError, nearest

SECTIONS = ("model", "datasets", "run")
RETIRED_SECTIONS = {
    "preprocess": "processors stand in the `datasets` section",
    "env": "nothing is cached in a folder of its own",
}
DEFAULT_TYPE = "default"
DEFAULT_RUNNER = "runner_base"


@dataclass(frozen=True)
class Config:
    """All that a YAML says, typed; a section that was not asked for or not written is None or empty."""

    model: Any = None
    """instance of the system's `Config`"""
    datasets: dict[str, Any] = field(default_factory=dict)
    """name -> instance of its builder's `Config`, in the order of the YAML"""
    run: Any = None
    """instance of the runner's `Config`"""
    builders: dict[str, str] = field(default_factory=dict)
    """name of a data set -> registered builder, the same word unless `builder:` says otherwise"""
    imports: tuple[str, ...] = ()
    """modules imported for their registrations"""
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    """where each given value was written; what is absent is a default"""
    source: Path | None = None
    """the YAML"""

    def origin(self, key: str) -> str:
        """Where the value of a dotted key was written: 'train.yaml:7', '--options …' or 'default'."""
        return str(self.origins.get(tuple(key.split(".")), Origin()))


def load_config(path: str | Path, options: Sequence[str] = (), *, sections: Sequence[str] = SECTIONS,
                trust: Trust = OWN) -> Config:
    """Read, merge, type and check a run YAML.

    Args:
        path: the YAML.
        options: `a.b=c` or the pair form `a.b`, `c`; they win over the YAML.
        sections: the sections that are wanted; others are not looked at.
        trust: what the YAML may do; one that came with a bundle may do less than the user's own.
    Raises:
        UserErrors: every unknown key, wrong type, unknown name, placeholder and absent path, one sentence each.
        UserError: where the YAML or an option cannot be read at all.
    """
    return _load(Path(path), options, sections, trust, check_paths=True)


def load_fragment(path: str | Path, options: Sequence[str] = (), *, trust: Trust = OWN) -> Config:
    """Like `load_config` for a YAML that is looked at, not run: placeholders, absent paths and sections may stay."""
    written = {*read_yaml(Path(path)).values, *read_options(options).values}
    wanted = [section for section in SECTIONS if section in written]
    return _load(Path(path), options, wanted, trust, check_paths=False)


def section_from(values: Mapping[str, Any]) -> Any:
    """A typed `model:` section from plain values, as `write.plain` gives them; paths in them are not looked for.

    Raises:
        UserError: an unknown system or key, a value of the wrong kind.
    """
    system = registry.systems.get(str(values.get("arch")), where="arch")
    report = Report(Layer({"model": dict(values)}), check_paths=False)
    section = _section(("model",), system, report)
    report.raise_if_any()
    return section


def _load(path: Path, options: Sequence[str], sections: Sequence[str], trust: Trust, *, check_paths: bool) -> Config:
    file = read_yaml(path, aliases=trust.resolvers)
    refuse_untrusted_values(file, trust)
    imports = _imports(file, trust)
    report = Report(Layer(), check_paths)
    user = [_known_sections(file, report), _known_sections(read_options(options), report)]
    layers: list[Layer] = []
    if "model" in sections:
        layers += _model_layers(user, report)
    names = _dataset_names(user) if "datasets" in sections else []
    for name in names:
        layers += _dataset_layers(name, user, report)
    if "run" in sections:
        layers += _run_layers(user, report)
    report.layer = interpolated(merge([Layer({}, {(): Origin(path)}), *layers]))
    config = _typed(report, sections, names)
    report.errors += [_at_its_line(error, report) for error in _relations(config)]
    report.raise_if_any()
    return Config(**config, imports=imports, origins=report.layer.origins, source=path)


def _imports(file: Layer, trust: Trust) -> tuple[str, ...]:
    names = file.get(("imports",), [])
    where = str(file.origin(("imports",)))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError("config.type", where=where, what="imports should be a list of modules",
                        fix="write imports: [my_package.my_module]")
    refuse_unwanted_imports(names, trust, where=where)
    registry.import_modules(names, where=where)
    return tuple(names)


def _known_sections(layer: Layer, report: Report) -> Layer:
    """The layer's sections alone; anything else at the top level, or of the wrong type, is reported."""
    layer = without_retired(layer, (), RETIRED_SECTIONS)
    for key, value in list(layer.values.items()):
        where = str(layer.origin((key,)))
        if key in SECTIONS and isinstance(value, Mapping | None):
            continue
        layer = without(layer, (key,))
        if key in SECTIONS:
            report.errors.append(UserError("config.type", where=where, what=f"{key} has no keys",
                                           fix="write them below it, indented"))
        elif key != "imports":
            report.errors.append(UserError("config.unknown_key", where=where, what=f"{key} is unknown",
                                           fix=nearest(key, [*SECTIONS, "imports"])))
    return layer


# --- layers of a section, lowest first ---


def _model_layers(user: list[Layer], report: Report) -> list[Layer]:
    given = merge(user)
    arch = given.get(("model", "arch"))
    if arch is None and report.errors:  # a section is misspelt: it is not missing too
        return []
    system = _registered(registry.systems, arch, given, ("model", "arch"), report)
    if system is None:
        return []
    model_type = given.get(("model", "model_type"), _default_of(system, "model_type"))
    packaged = _packaged(system, model_type, given, ("model", "model_type"), report).part("model")
    return _translated([packaged, *(layer.part("model") for layer in user)], ("model",), system, report)


def _dataset_names(user: list[Layer]) -> list[str]:
    return list(merge(user).get(("datasets",)) or {})


def _dataset_layers(name: str, user: list[Layer], report: Report) -> list[Layer]:
    path = ("datasets", name)
    given = merge(user)
    builder_name = given.get((*path, "builder")) or name
    at = (*path, "builder") if given.get((*path, "builder")) else path
    builder = _registered(registry.builders, builder_name, given, at, report)
    if builder is None:
        return []
    kind = given.get((*path, "type"), DEFAULT_TYPE)
    packaged = Layer()
    if builder.default_yaml and (kind != DEFAULT_TYPE or kind in builder.default_yaml):
        packaged = _packaged(builder, kind, given, (*path, "type"), report)
        packaged = packaged.moved(("datasets", builder_name), path)
    return _translated([packaged, *(layer.part(*path) for layer in user)], path, builder, report)


def _run_layers(user: list[Layer], report: Report) -> list[Layer]:
    given, at = merge(user), ("run", "runner")
    runner = _registered(registry.runners, given.get(at, DEFAULT_RUNNER), given, at, report)
    return [] if runner is None else _translated([layer.part("run") for layer in user], ("run",), runner, report)


def _translated(layers: list[Layer], path: KeyPath, owner: ConfigOwner, report: Report) -> list[Layer]:
    """Each layer in today's keys; `owner` is the system, builder or runner that brings the tables.

    The names of the default parts come first: a layer that names another part resets it.
    """
    retired = getattr(owner, "retired_keys", {})
    original = getattr(owner, "original_keys", {})
    names: dict[str, Any] = default_names(owner.Config)
    for key in reversed(path):
        names = {key: names}
    today = [translated(without_retired(layer, path, retired), path, original, report.errors) for layer in layers]
    return [Layer(names), *today]


def _registered(kinds: registry.Registry[Any], name: object, given: Layer, at: KeyPath, report: Report) -> Any:
    if isinstance(name, str) and name in kinds:
        return kinds.get(name)
    known = ", ".join(kinds.names())
    what = f"{dotted(at)} names no {kinds.kind}" if name is None else f"{dotted(at)}: unknown {kinds.kind} '{name}'"
    fix = f"known: {known}" if name is None else nearest(str(name), kinds.names())
    report.errors.append(UserError("registry.unknown", where=str(given.origin(at)), what=what, fix=fix))
    return None


def _default_of(owner: ConfigOwner, key: str) -> Any:
    return getattr(owner.Config, key, None)


def _packaged(owner: ConfigOwner, kind: object, given: Layer, at: KeyPath, report: Report) -> Layer:
    """The packaged YAML that a system or builder names for a model_type or type."""
    if isinstance(kind, str) and kind in owner.default_yaml:
        return read_yaml(beside(owner, owner.default_yaml[kind]))
    report.errors.append(UserError("config.value", where=str(given.origin(at)), what=f"{dotted(at)} is '{kind}'",
                                   fix=nearest(str(kind), list(owner.default_yaml))))
    return Layer()


def beside(owner: ConfigOwner, relative: str) -> Path:
    """A default YAML: beside the file of the class that names it, else below `configs/` of its package."""
    module = importlib.import_module(owner.__module__)
    candidates = [Path(module.__file__ or "").parent / relative]
    package = importlib.import_module(owner.__module__.partition(".")[0])
    if package.__file__:
        candidates.append(Path(package.__file__).parent / "configs" / relative)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UserError("config.file", where=f"{owner.__module__}.{owner.__qualname__}",
                    what=f"its default YAML '{relative}' does not exist", fix=f"put it at {candidates[0]}")


# --- typing of the merged values ---


def _typed(report: Report, sections: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    config: dict[str, Any] = {"datasets": {}, "builders": {}}
    if "model" in sections and (arch := report.layer.get(("model", "arch"))) in registry.systems:
        config["model"] = _section(("model",), registry.systems.get(arch), report)
    for name in names:
        path = ("datasets", name)
        if (builder_name := report.layer.get((*path, "builder")) or name) in registry.builders:
            config["builders"][name] = builder_name
            config["datasets"][name] = _section(path, registry.builders.get(builder_name), report)
    runner_name = report.layer.get(("run", "runner"), DEFAULT_RUNNER)
    if "run" in sections and runner_name in registry.runners:
        config["run"] = _section(("run",), registry.runners.get(runner_name), report)
    return config


def _relations(config: Mapping[str, Any]) -> list[UserError]:
    """Mistakes between sections, as the runner knows them (splits that no data set has)."""
    run = config.get("run")
    if run is None:
        return []
    relations = getattr(registry.runners.get(run.runner), "relations", None)
    return relations(run, config["datasets"]) if relations else []


def _at_its_line(error: UserError, report: Report) -> UserError:
    """A mistake of a dotted key with file and line before it."""
    place = report.place(tuple(error.where.split(".")))
    return UserError(error.code, where=place or error.where, fix=error.fix,
                     what=f"{error.where} {error.what}" if place else error.what)


def _section(path: KeyPath, owner: ConfigOwner, report: Report) -> Any:
    values = report.layer.get(path)
    values = {} if values is None else values
    if isinstance(values, Mapping):
        values = _completed(values, path, owner)
    also_known = tuple(getattr(owner, "original_keys", {}))
    made = make_dataclass(owner.Config, values, Spot(report, path), also_known=also_known)
    return None if made is FAILED else made


def _completed(values: Mapping[str, Any], path: KeyPath, owner: ConfigOwner) -> dict[str, Any]:
    """What only chose a builder or YAML is taken out, the behaviour that an original YAML means is put in."""
    known = fields_of(owner.Config)
    if path[0] == "datasets":
        return {key: value for key, value in values.items() if key in known or key not in ("builder", "type")}
    if path[0] == "model" and "behaviour" in known and values.get("behaviour") is None:
        model_type = values.get("model_type", _default_of(owner, "model_type"))
        system = registry.systems.get(values["arch"])
        return {**values, "behaviour": system.behaviour_of(values["arch"], model_type)}
    return dict(values)
