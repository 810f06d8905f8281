"""Which folder is a bundle, and which of a run folder is the newest: asked before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.weights.files.kinds import refuse_folder

MANIFEST = "manifest.json"


def is_bundle(path: str | Path) -> bool:
    """True for a folder that training wrote."""
    return (Path(path) / MANIFEST).exists()


def bundle_in(path: str | Path) -> Path | None:
    """The path itself if it is a bundle, the newest checkpoint if it is a run folder; None for anything else."""
    path = Path(path)
    if is_bundle(path):
        return path
    checkpoints = [each for each in path.glob("checkpoint_*") if is_bundle(each)]
    return max(checkpoints, key=lambda each: int(each.name.rpartition("_")[2]), default=None)


def newest_bundle(folder: str | Path) -> Path:
    """The folder itself if it is a bundle, else the newest checkpoint of a run folder.

    Raises:
        UserError: neither.
    """
    found = bundle_in(folder)
    if found is None:
        refuse_folder(Path(folder))
        raise UserError("bundle.none", where=str(folder), what="is neither a bundle nor a run folder with checkpoints",
                        fix="give the folder that contains manifest.json")
    return found
