"""Values that are paths: found on disk before anything loads, or reported with what should be there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from minigpt4.common.config.fields import FieldInfo
from minigpt4.common.config.layers import dotted
from minigpt4.common.config.paths import find_path, is_placeholder, is_remote, name_for_download
from minigpt4.common.config.report import FAILED, Spot, any_failed

UNMISTAKABLE = ("/path/to/", "please set this value")
"""no text that is not a path begins like this"""


HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
"""OWNER/NAME"""


def checked_path(value: object, info: FieldInfo, spot: Spot) -> Any:
    """A path as it can be opened (lists of paths item by item); a value that is not a path as it is. Or `FAILED`."""
    if info.path is None:
        if isinstance(value, str) and value.strip().lower().startswith(UNMISTAKABLE):
            return _placeholder(value, info, spot)
        return value
    if isinstance(value, list | tuple):
        found = [checked_path(item, info, spot.below(str(index))) for index, item in enumerate(value)]
        return FAILED if any_failed(found) else type(value)(found)
    if value is None or str(value) == "" or is_remote(str(value)):
        return value
    if is_placeholder(str(value)):
        return _placeholder(str(value), info, spot)
    return _found(value, info, spot)


def _found(value: object, info: FieldInfo, spot: Spot) -> Any:
    text = str(value)
    file = spot.report.layer.origin(spot.path).file
    place, complaint = find_path(text, info.path or "any", file.parent if file else None)
    if not complaint:
        return Path(place) if isinstance(value, Path) else str(place)
    if info.hub and "/" not in text and os.sep not in text:
        return value
    hub = f"; a name of the hub? minigpt4 weights download hub:{text}" if info.hub and HUB_NAME.fullmatch(text) else ""
    return spot.fail("config.path", f"is '{text}', which {complaint}", f"give its path{_meaning(info, text)}{hub}")


def _placeholder(text: str, info: FieldInfo, spot: Spot) -> object:
    source, file = spot.report.layer.origin(()).file, spot.report.layer.origin(spot.path).file
    is_packaged = file not in (None, source)  # those files stay as they are
    there = f"write it into {source}" if is_packaged else "put a path there"
    return spot.fail("config.placeholder", f"still has the placeholder '{text}'",
                     f"{there} or give --options {dotted(spot.path)}=PATH{_meaning(info, text)}")


def _meaning(info: FieldInfo, text: str) -> str:
    """What belongs there, and the command that gets it where its name is known."""
    name = name_for_download(text)
    return (f" ({info.help})" if info.help else "") + (f"; to get it: minigpt4 weights download {name}" if name else "")
