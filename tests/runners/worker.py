"""One process of a fake run, started by tests that kill it or start several: `python worker.py '{"folder": …}'`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from minigpt4.common import process_group
from minigpt4.common.process_group import join, place_from
from minigpt4.records.batches import Batch
from minigpt4.runners.precision import Precision
from minigpt4.runners.runner_base import RunnerBase
from minigpt4.runners.window import WindowGradient
from tests.runners.fakes import FakeTask, make_job

FP32 = Precision("fp32", "cpu")
CPU = torch.device("cpu")


class DyingTask(FakeTask):
    """Kills its own process without a word when a position is reached."""

    dies_at: int | None = None

    def training_batches(self, position: int, begun_on: int | None = None) -> Iterator[Batch]:
        for batch in super().training_batches(position, begun_on):
            if position == self.dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            position += 1
            yield batch


def main(order: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    process_group.ROLL_CALL_SECONDS = 1.0
    group = join(place_from(os.environ), cuda=False, timeout=order.get("timeout", 60))
    holes = {int(key): value for key, value in order.get("holes", {}).items()}
    task = DyingTask(group, order.get("rows", 4), holes=holes,
                     textual=frozenset(order.get("textual", ())), epoch=order.get("epoch", 6))
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    if order.get("dies_at") is not None and not again and group.rank == order.get("dying_rank", 0):
        task.dies_at = order["dies_at"]
    job = make_job(Path(order["folder"]), group=group, dropout=order.get("dropout", 0.0), job={"task": task},
                   **order.get("run", {}))
    if order.get("gradients"):
        window = list(islice(task.training_batches(0), order["gradients"]))
        WindowGradient(job.model, task, group, FP32, CPU)(window, FP32.scaler())
        torch.save({name: value.grad for name, value in job.model.named_parameters()},
                   f"{order['folder']}_{group.rank}.pt")
    else:
        RunnerBase(job, resume=order.get("resume", False)).run()
    group.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
