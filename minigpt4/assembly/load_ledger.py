"""What was loaded while a model is put together: origins of each part, and lines for people."""

from __future__ import annotations

from dataclasses import dataclass, field

from minigpt4.weights.plans.loading import PartOrigin

Loaded = tuple[dict[str, PartOrigin], list[str]]
"""what `weights.loading.load_file` gives"""


@dataclass
class LoadLedger:
    """Origins and report lines."""

    origins: dict[str, list[PartOrigin]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def add(self, loaded: Loaded) -> None:
        """A file may fill several parts, and a part may have several files."""
        origins, lines = loaded
        for part, origin in origins.items():
            self.origins.setdefault(part, []).append(origin)
        self.lines += lines

    def replace(self, loaded: Loaded) -> None:
        """A checkpoint comes last and wins over what was loaded before it."""
        for part in loaded[0]:
            self.origins.pop(part, None)
        self.add(loaded)
