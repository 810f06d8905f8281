"""Licences of weights and data sets, as the files beside them state them. Nothing here is legal advice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

UNKNOWN = "unknown"
SOURCE = "source.json"
"""what a download leaves in its folder, or as FILE.source.json beside a single file"""
LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md")
LONGEST = 80
"""characters of a first line that are kept"""


@dataclass(frozen=True)
class DataLicence:
    """A data set that a model was trained on, and its licence."""

    name: str
    licence: str = UNKNOWN


def licence_of(place: str | Path) -> str:
    """The licence of a file or folder of weights.

    Looked for in this order: what a download noted, the head of README.md, the first line of LICENSE.

    Returns:
        as it is written there; "unknown" where nothing is.
    """
    place = Path(place)
    folder = place if place.is_dir() else place.parent
    notes = [folder / SOURCE] if place.is_dir() else [place.with_name(f"{place.name}.{SOURCE}"), folder / SOURCE]
    for note in notes:
        if found := _of_note(note, place):
            return found
    return _of_readme(folder / "README.md") or _of_first_line(folder) or UNKNOWN


def joined(licences: Iterable[str]) -> str:
    """Several licences in one line, each once."""
    return " + ".join(dict.fromkeys(licences))


def _of_note(note: Path, place: Path) -> str:
    """`licence` of a note; that of a folder speaks for a file in it only if it names the file."""
    content = _json_object(note)
    files = content.get("files")
    if note.name == SOURCE and place.is_file() and isinstance(files, dict) and place.name not in files:
        return ""
    return str(content.get("licence") or "")


def _json_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):  # another program's file of that name
        return {}
    return content if isinstance(content, dict) else {}


def _of_readme(path: Path) -> str:
    """`license:` of the YAML between the two lines `---` that open a model card."""
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in (line.strip() for line in lines[1:]):
        return ""
    end = next(number for number, line in enumerate(lines[1:], 1) if line.strip() == "---")
    try:
        values = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError:  # an unreadable card states nothing
        return ""
    return str(values.get("license") or "") if isinstance(values, dict) else ""


def _of_first_line(folder: Path) -> str:
    for name in LICENCE_FILES:
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
            first = next((line.strip(" #") for line in lines if line.strip()), "")
            if first:
                return first[:LONGEST]
    return ""
