"""The mistakes found while values become dataclasses, each reported with the place where it was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from minigpt4.common.config.fields import FieldInfo
from minigpt4.common.config.layers import DEFAULT, KeyPath, Layer, dotted
from minigpt4.common.errors import UserError, UserErrors

FAILED = object()
"""stands for a value that could not be made; its mistake is in the report"""


@dataclass
class Report:
    """The mistakes found so far in the values of one merged layer."""

    layer: Layer
    check_paths: bool = True
    """False = placeholders and absent paths may stay: a packaged YAML is looked at, not run"""
    errors: list[UserError] = field(default_factory=list)

    def add(self, code: str, path: KeyPath, what: str, fix: str = "") -> object:
        """Note a mistake at a key; returns `FAILED`."""
        self.errors.append(UserError(code, where=self.place(path), what=f"{self.spelled(path)} {what}", fix=fix))
        return FAILED

    def place(self, path: KeyPath) -> str:
        """file:line or option of a value; empty for a default."""
        origin = self.layer.origin(path)
        return "" if origin == DEFAULT else str(origin)

    def spelled(self, path: KeyPath) -> str:
        """The key as the person wrote it: an original key stays one in the sentence."""
        origin = self.layer.origins.get(path)
        return origin.written_as if origin and origin.written_as else dotted(path)

    def raise_if_any(self) -> None:
        """Raise all mistakes as one `UserErrors`, section by section."""
        if self.errors:
            raise UserErrors(self.errors)


@dataclass(frozen=True)
class Spot:
    """The key that is being made: its path, the field it belongs to, the default whose values hold below it."""

    report: Report
    path: KeyPath
    info: FieldInfo | None = None
    """passed down into lists and mappings: what the field's metadata says applies to their items"""
    start: Any = None

    def below(self, key: str, start: object = None) -> Spot:
        """An item of this list or mapping."""
        return replace(self, path=(*self.path, key), start=start)

    def fail(self, code: str, what: str, fix: str = "") -> object:
        """Note a mistake here; returns `FAILED`."""
        return self.report.add(code, self.path, what, fix)

    def trial(self) -> Spot:
        """The same with a report of its own, which may be thrown away."""
        return replace(self, report=Report(self.report.layer, self.report.check_paths))


def any_failed(values: Sequence[Any]) -> bool:
    return any(value is FAILED for value in values)
