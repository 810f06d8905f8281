"""Do the versions of torch and transformers suit this package? Checked on entry, before they are imported.

Model code met a newer transformers in the originals and failed in the middle of a forward pass with a keyword nobody
had heard of. The ranges are those of `pyproject.toml`; a test holds the two together.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from minigpt4.common.errors import UserError


@dataclass(frozen=True)
class Range:
    """From `oldest` on and below `too_new`; None = no end is known."""

    oldest: str
    too_new: str | None = None

    def __str__(self) -> str:
        return f">={self.oldest}" + (f",<{self.too_new}" if self.too_new else "")

    def holds(self, version: str) -> bool:
        """Release numbers only: '2.13.0+cpu' is 2.13.0, '5.0.0rc1' is 5.0.0."""
        number = _numbers(version)
        return _numbers(self.oldest) <= number and (self.too_new is None or number < _numbers(self.too_new))


SUPPORTED: Mapping[str, Range] = {"torch": Range("2.6"), "transformers": Range("5.0", "6")}
"""packages whose insides we touch"""


def check_versions(installed: Callable[[str], str] = importlib.metadata.version) -> None:
    """Raise `UserError` if a package is absent or outside its range.

    Args:
        installed: name -> version; raises `PackageNotFoundError` for an absent one.
    """
    for name, supported in SUPPORTED.items():
        fix = f'run: pip install "{name}{supported}"'
        try:
            version = installed(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise UserError("install.missing", where=name, what="is not installed", fix=fix) from error
        if not supported.holds(version):
            raise UserError("install.version", where=f"{name} {version}", fix=fix,
                            what=f"is outside the range that minigpt4 works with ({supported})")


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in release.group().split(".")] if release else []
    return tuple((numbers + [0, 0, 0])[:3])
