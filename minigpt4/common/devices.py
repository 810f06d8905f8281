"""Which device a process computes on: one rule for `run.device` and `--device`."""

from __future__ import annotations

import torch

from minigpt4.common.errors import UserError
from minigpt4.common.process_group import Place

ALONE = Place()


def choose_device(wanted: str, place: Place = ALONE) -> torch.device:
    """The device of this process; of several, each takes the CUDA device of its local rank.

    Args:
        wanted: auto (CUDA, else MPS, else CPU), cpu, cuda, cuda:1 or mps.
        place: which of the processes this is.

    Raises:
        UserError: this machine does not have that device.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "auto":
        wanted = "cuda" if cuda else "mps" if mps else "cpu"
    kind = wanted.split(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise UserError("device.unknown", where="run.device", what=f"is '{wanted}'",
                        fix="use auto, cpu, cuda, cuda:1 or mps")
    if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise UserError("device.absent", where="run.device", what=f"is {wanted}, but torch sees no such device here",
                        fix="use run.device=auto or run.device=cpu")
    if kind == "cuda" and ":" not in wanted:
        return torch.device("cuda", place.local_rank)
    return torch.device(wanted)


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has a class for it, the CPU only a sentence."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
