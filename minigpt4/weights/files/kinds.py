"""What a file or folder without readable weights is: one sentence that says so, and what to do instead."""

from __future__ import annotations

from pathlib import Path

from minigpt4.common.errors import UserError

LOOKED_AT = 512
"""first bytes of a file that identify its kind"""
DOWNLOAD = "download it again: minigpt4 weights download hub:NAME/MODEL"


def refuse_file(path: Path) -> None:
    """Raise `UserError` for a file that is known to be something else; asked once it could not be read."""
    with open(path, "rb") as file:
        head = file.read(LOOKED_AT)
    begin = head.lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        raise UserError("weights.git_lfs", where=str(path), fix=f"run git lfs pull in its folder, or {DOWNLOAD}",
                        what="is a git-lfs pointer (a few lines of text), not the file itself")
    if begin.startswith((b"<!doctype html", b"<html")):
        raise UserError("weights.web_page", where=str(path), what="is a web page saved under this name",
                        fix="download the file itself (a link with /resolve/, not /blob/, and logged in where it asks)")
    if head.startswith(b"GGUF"):
        raise _gguf(path)
    if path.suffix != ".safetensors" and begin.startswith(b"{"):
        raise UserError("weights.text", where=str(path), what="is JSON, not weights",
                        fix="give the file of weights, or the folder that contains it")


def refuse_special(path: Path) -> None:
    """Raise `UserError` for a pipe, socket or device, which may never end; a path that is not there is left alone."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError("weights.special", where=str(path), what="is a pipe, socket or device, not a file",
                        fix="give a regular file")


def refuse_folder(folder: Path) -> None:
    """Raise `UserError` for a folder without weights that is known to be something else."""
    if (folder / "adapter_config.json").exists():
        raise UserError(
            "weights.adapter", where=str(folder), what="contains a peft adapter (adapter_config.json), not a model",
            fix="merge it into its base model (peft: merge_and_unload, then save_pretrained) and give that folder",
        )
    if found := next(iter(sorted(folder.glob("*.gguf"))), None):
        raise _gguf(found)
    if not (folder / "config.json").exists() and (folder / "preprocessor_config.json").exists():
        raise UserError("weights.image_processor", where=str(folder), fix="give the folder of the model",
                        what="contains the settings of an image processor (preprocessor_config.json) and no weights")
    if any(folder.glob("*.msgpack")) or any(folder.glob("*.h5")):
        raise UserError("weights.framework", where=str(folder), what="contains only Flax or TensorFlow weights",
                        fix="take the PyTorch weights of this model (*.safetensors or *.bin)")


def _gguf(path: Path) -> UserError:
    return UserError("weights.gguf", where=str(path), what="is in the format of llama.cpp (GGUF), quantised",
                     fix="take the folder it was made from, with config.json and *.safetensors")
