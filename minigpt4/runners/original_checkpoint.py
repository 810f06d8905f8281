"""Continue from a checkpoint of the original runner: its optimizer moments and epoch.

Source: docs/originals/minigpt4.md#checkpoints.

Its weights come in through the system's plan for `model.ckpt`. The original numbered parameters by decay group, the
decayed ones first, which is the order of `optimizer.py`; shapes tell whether both mean the same parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from minigpt4.common.errors import UserError
from minigpt4.runners.job import TakenOver
from minigpt4.runners.timetable import Timetable
from minigpt4.weights.files.readers import read_torch_file


def read_original_checkpoint(path: str) -> TakenOver:
    """Read optimizer and epoch of a `checkpoint_<epoch>.pth`.

    Raises `UserError` if the original runner did not write the file.
    """
    content = read_torch_file(Path(path))
    missing = [key for key in ("model", "optimizer", "epoch") if key not in content]
    if missing:
        raise UserError("train.original_checkpoint", where=path,
                        what=f"is not a checkpoint of the original runner: it lacks {', '.join(missing)}",
                        fix="to start from weights alone, set model.ckpt instead of run.resume_ckpt_path")
    return TakenOver(optimizer=content["optimizer"], scaler=content.get("scaler") or {}, epoch=int(content["epoch"]),
                     place=path)


def first_step_after(taken: TakenOver, timetable: Timetable) -> int:
    """The first optimizer step of the epoch after the file's. Raises `UserError` if there is none."""
    if taken.epoch + 1 >= timetable.epochs:
        raise UserError("train.original_checkpoint", where=taken.place,
                        what=f"has {taken.epoch + 1} epochs done, run.max_epoch is {timetable.epochs}",
                        fix="raise run.max_epoch, or take the weights alone with model.ckpt")
    return (taken.epoch + 1) * timetable.steps_per_epoch


def moments_for(optimizer: torch.optim.Optimizer, taken: TakenOver) -> dict[str, Any]:
    """The optimizer's state with the file's moments; rates and decay stay those of this run.

    Raises `UserError` if the file's parameters are not those that train here.
    """
    if not isinstance(optimizer, torch.optim.AdamW):
        raise UserError("config.value", where="run.optimizer", what="the moments of the original are AdamW's",
                        fix="use run.optimizer=adamw, or take the weights alone with model.ckpt")
    own = optimizer.state_dict()
    shapes = [tuple(parameter.shape) for group in optimizer.param_groups for parameter in group["params"]]
    state: Mapping[int, Mapping[str, Any]] = taken.optimizer["state"]
    saved = [tuple(state[index]["exp_avg"].shape) for index in sorted(state)]
    if saved != shapes:
        raise UserError("train.original_checkpoint", where=taken.place,
                        what=f"its optimizer holds {len(saved)} tensors ({_some(saved)}), {len(shapes)} train here "
                             f"({_some(shapes)})",
                        fix="freeze the same parts, or take the weights alone with model.ckpt")
    return {"state": dict(state), "param_groups": own["param_groups"]}


def _some(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes[:3]) + (", …" if len(shapes) > 3 else "")
