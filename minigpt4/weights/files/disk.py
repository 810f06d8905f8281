"""Free disk space, and the last move of a finished folder; sizes as text."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from minigpt4.common.errors import UserError


def as_gigabytes(num_bytes: int) -> str:
    """'13.48 GB', small sizes in MB."""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"


def check_space(target: Path, needed: int) -> None:
    """Raise `UserError` if the disk of `target` has no room for that many more bytes."""
    existing = next(folder for folder in (target, *target.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise UserError("weights.disk", where=str(target), fix="free space or choose another disk",
                        what=f"{as_gigabytes(needed)} needed, {as_gigabytes(free)} free")


def move_folder(begun: Path, target: Path) -> None:
    """Give a finished folder its name."""
    try:
        if target.exists():  # empty: Windows does not replace folders
            target.rmdir()
        os.replace(begun, target)
    except OSError as error:
        raise UserError("file.write", where=str(target), what=f"cannot be created ({error.strerror})",
                        fix=f"everything is in {begun}: move it yourself") from error
