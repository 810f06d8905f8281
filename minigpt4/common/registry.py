"""Names to things: one typed registry per kind, and LAVIS's names for all of them.

A registry finds the built-ins of its home packages when a name is first asked for (no import before), an outside
package through the entry-point group `minigpt4` or the top-level YAML key `imports:`. The same name twice is an
error, an unknown name is answered with the nearest. This file is the only global state of the project.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from minigpt4.common.errors import UserError, nearest

T = TypeVar("T")

ENTRY_POINT_GROUP = "minigpt4"


class Registry(Generic[T]):
    """Named things of one kind.

    Args:
        kind: the word for error sentences ("connector").
        homes: where the built-ins are, imported when a name is first looked up: a package, for all of its modules, or
            `package.*.module`, for that module of each of its subpackages. One that is not installed has none.
    """

    def __init__(self, kind: str, *homes: str) -> None:
        self.kind = kind
        self.homes = homes
        self._things: dict[str, T] = {}
        self._found = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: put a thing under a name. Raises `UserError` if the name is taken by another thing."""

        def keep(thing: T) -> T:
            self.add(name, thing)
            return thing

        return keep

    def add(self, name: str, thing: T) -> None:
        taken = self._things.get(name)
        if taken is not None and not _same_definition(taken, thing):
            raise UserError(
                "registry.taken",
                what=f"{self.kind} '{name}' is already {_describe(taken)}; {_describe(thing)} asks for the same name",
                fix="choose another name",
            )
        self._things[name] = thing

    def get(self, name: str, *, where: str = "") -> T:
        """The thing of that name; raises `UserError` naming the nearest known one."""
        self._find_built_ins()
        if name not in self._things:
            raise UserError(
                "registry.unknown", where=where, what=f"unknown {self.kind} '{name}'", fix=nearest(name, self._things)
            )
        return self._things[name]

    def names(self) -> list[str]:
        self._find_built_ins()
        return sorted(self._things)

    def __contains__(self, name: object) -> bool:
        self._find_built_ins()
        return name in self._things

    def _find_built_ins(self) -> None:
        if self._found:
            return
        self._found = True  # first: a module that is being imported may ask again
        try:
            for home in self.homes:
                for module in _modules_of(home):
                    importlib.import_module(module)
            load_outside_packages()
        except BaseException:
            self._found = False
            raise


def _modules_of(home: str) -> list[str]:
    """The modules that `Registry(homes=…)` means by a package or by `package.*.module`."""
    package, _, module = home.partition(".*.")
    if not _is_installed(package):
        return []
    found = pkgutil.iter_modules(getattr(importlib.import_module(package), "__path__", []))
    if not module:
        return [f"{package}.{each.name}" for each in found]
    return [f"{package}.{each.name}.{module}" for each in found if each.ispkg]


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # a package around it is absent
        return False


def _same_definition(one: object, other: object) -> bool:
    """A module imported twice (notebook reload) defines the same thing again: not a clash."""
    return _describe(one) == _describe(other)


def _describe(thing: object) -> str:
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    return f"{getattr(thing, '__module__', type(thing).__module__)}.{name}"


systems: Registry[Any] = Registry("model arch", "minigpt4.systems.*.system")
vision_encoders: Registry[Any] = Registry("vision encoder", "minigpt4.models.vision")
resamplers: Registry[Any] = Registry("resampler", "minigpt4.models.resamplers")
connectors: Registry[Any] = Registry("connector", "minigpt4.models.connectors")
language_models: Registry[Any] = Registry("language model", "minigpt4.models.language_models")
templates: Registry[Any] = Registry("template", "minigpt4.conversation.templates")
image_processors: Registry[Any] = Registry("image processor", "minigpt4.processors")
text_processors: Registry[Any] = Registry("text processor", "minigpt4.processors")
builders: Registry[Any] = Registry("data set", "minigpt4.datasets.builders", "minigpt4.scenes.builders")
tasks: Registry[Any] = Registry("task", "minigpt4.tasks", "minigpt4.scenes.tasks")
runners: Registry[Any] = Registry("runner", "minigpt4.runners")
schedules: Registry[Any] = Registry("learning-rate schedule", "minigpt4.runners")

_outside_loaded = False


def load_outside_packages() -> None:
    """Import every package that announces itself in the entry-point group `minigpt4` (once)."""
    global _outside_loaded
    if _outside_loaded:
        return
    _outside_loaded = True
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        entry.load()


def import_modules(names: list[str], *, where: str = "") -> None:
    """Import the modules of a YAML's `imports:` so that their registrations count."""
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError("registry.import", where=where, what=f"'{name}' is not the name of a module",
                            fix="write it as in Python: my_package.my_module")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UserError(
                "registry.import", where=where, what=f"cannot import '{name}' ({error})",
                fix="install the package or put its folder on PYTHONPATH",
            ) from error


def is_announced(name: str) -> bool:
    """True for a module that an installed package names in the entry-point group `minigpt4`."""
    return any(entry.module == name for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))


def place_of_module(name: str) -> str:
    """Where a module would come from, found without running anything of it or of the packages around it."""
    folders: Sequence[str] | None = None
    spec = None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:end]), folders)
        if spec is None:
            return "not found here"
        folders = list(spec.submodule_search_locations or [])
    origin = spec.origin if spec is not None else None
    return origin or ", ".join(folders or ["not found here"])


class LavisRegistry:
    """LAVIS's method names (`register_model`, `get_builder_class`, …) bound to the typed registries."""


    def register_model(self, name: str) -> Callable[[T], T]:
        return systems.register(name)

    def register_builder(self, name: str) -> Callable[[T], T]:
        return builders.register(name)

    def register_task(self, name: str) -> Callable[[T], T]:
        return tasks.register(name)

    def register_runner(self, name: str) -> Callable[[T], T]:
        return runners.register(name)

    def register_lr_scheduler(self, name: str) -> Callable[[T], T]:
        return schedules.register(name)

    def register_processor(self, name: str) -> Callable[[T], T]:
        """A processor with a `spec` handles images, any other handles texts."""

        def keep(thing: T) -> T:
            (image_processors if hasattr(thing, "spec") else text_processors).add(name, thing)
            return thing

        return keep

    def get_model_class(self, name: str) -> Any:
        return systems.get(name)

    def get_builder_class(self, name: str) -> Any:
        return builders.get(name)

    def get_task_class(self, name: str) -> Any:
        return tasks.get(name)

    def get_runner_class(self, name: str) -> Any:
        return runners.get(name)

    def get_lr_scheduler_class(self, name: str) -> Any:
        return schedules.get(name)

    def get_processor_class(self, name: str) -> Any:
        return image_processors.get(name) if name in image_processors else text_processors.get(name)

    def list_models(self) -> list[str]:
        return systems.names()

    def list_datasets(self) -> list[str]:
        return builders.names()

    def list_tasks(self) -> list[str]:
        return tasks.names()

    def list_runners(self) -> list[str]:
        return runners.names()

    def list_lr_schedulers(self) -> list[str]:
        return schedules.names()

    def list_processors(self) -> list[str]:
        return sorted(image_processors.names() + text_processors.names())


registry = LavisRegistry()
