"""Where the numbers of a run go: `log.jsonl` and TensorBoard always, Weights & Biases if asked, one console line.

A line of `log.jsonl` is one optimizer step (`kind: step`) or one validation (`kind: valid`, `kind: test`).
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file
from minigpt4.runners.config import RunConfig
from minigpt4.runners.run_folder import RunFolder

log = logging.getLogger(__name__)

TOLD_WAIT = 0.1
"""share of the time waited for data from which the line says so: more run.num_workers or model.image_method may help"""


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One optimizer step in numbers."""

    step: int
    """steps done, this one included"""
    steps: int
    epoch: int
    loss: float
    lr: float
    grad_norm: float
    tokens_per_second: float
    samples_per_second: float
    data_wait: float
    """share of the time that the step waited for data"""
    memory_gib: float
    seconds_left: float
    unreadable: int
    """holes so far, all ranks"""
    unsupervised: int
    """samples without a learned token so far, all ranks"""
    nonfinite: int
    """steps skipped so far"""

    def line(self) -> str:
        """`step 120/1000 loss 2.413 lr 2.9e-05 grad 0.84 1 840 tok/s 5.1 GiB 03:12 left`"""
        waits = f" {100 * self.data_wait:.0f} % waiting for data" if self.data_wait >= TOLD_WAIT else ""
        lost = f" unreadable {self.unreadable}" if self.unreadable else ""
        unsupervised = f" without target {self.unsupervised}" if self.unsupervised else ""
        skipped = f" non-finite {self.nonfinite}" if self.nonfinite else ""
        speed = f"{self.tokens_per_second:,.0f}".replace(",", " ")
        return (f"step {self.step}/{self.steps} loss {self.loss:.3f} lr {self.lr:.1e} grad {self.grad_norm:.2f} "
                f"{speed} tok/s {self.memory_gib:.1f} GiB {clock(self.seconds_left)} left"
                f"{waits}{lost}{unsupervised}{skipped}")


def clock(seconds: float) -> str:
    """Seconds as 03:12 or 1:03:12."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


class Log(Protocol):
    """One place where numbers go."""

    def write(self, kind: str, step: int, numbers: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """One JSON object per line, written immediately; on resume, lines after the checkpoint are dropped first."""

    def __init__(self, path: Path, start: int) -> None:
        if path.exists():
            kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _is_before(line, start)]
            with atomic_file(path) as part:
                part.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._file = open(path, "a", encoding="utf-8")

    def write(self, kind: str, step: int, numbers: Mapping[str, Any]) -> None:
        line = {"kind": kind, "step": step, **{name: _in_json(value) for name, value in numbers.items()}}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _is_before(line: str, start: int) -> bool:
    """Whether a line belongs to the first `start` steps; a line cut by a kill does not."""
    try:
        return bool(json.loads(line)["step"] <= start)
    except json.JSONDecodeError:
        return False


def _in_json(value: object) -> Any:
    """JSON has no NaN: the word stands for it."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class TensorBoard:
    """Scalars and texts for TensorBoard."""

    def __init__(self, folder: Path, start: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=start + 1)

    def write(self, kind: str, step: int, numbers: Mapping[str, Any]) -> None:
        for name, value in numbers.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(f"{kind}/{name}", value, step)
            else:
                self._writer.add_text(f"{kind}/{name}", str(value), step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """The same numbers for Weights & Biases (extra `wandb`)."""

    def __init__(self, run: RunConfig, folder: Path, config: Mapping[str, str]) -> None:
        self._wandb = importlib.import_module("wandb")
        self._run = self._wandb.init(project="minigpt4", name=run.job_name, dir=str(folder), config=dict(config))

    def write(self, kind: str, step: int, numbers: Mapping[str, Any]) -> None:
        self._run.log({f"{kind}/{name}": value for name, value in numbers.items()}, step=step)

    def close(self) -> None:
        self._run.finish()


def check_wandb(run: RunConfig) -> None:
    """Raises `UserError` where `run.wandb_log` asks for a package that is not installed."""
    if run.wandb_log and importlib.util.find_spec("wandb") is None:
        raise UserError("log.wandb", where="run.wandb_log", what="is True, but the package wandb is not installed",
                        fix="pip install 'minigpt4[wandb]', or set run.wandb_log=False")


class Logs:
    """All places at once; a rank that is not the first has none."""

    def __init__(self, places: Sequence[Log]) -> None:
        self._places = list(places)

    def step(self, record: StepRecord) -> None:
        numbers = asdict(record)
        self.write("step", numbers.pop("step"), numbers)

    def write(self, kind: str, step: int, numbers: Mapping[str, Any]) -> None:
        for place in list(self._places):
            self._try(place, lambda place=place: place.write(kind, step, numbers))  # type: ignore[misc]

    def close(self) -> None:
        for place in list(self._places):
            self._try(place, place.close)

    def _try(self, place: Log, deed: Callable[[], None]) -> None:
        """A place that cannot be written (disk full) is given up with one warning; the run goes on without it."""
        try:
            deed()
        except OSError as error:
            self._places.remove(place)
            log.warning("%s", f"{type(place).__name__}: cannot be written ({error.strerror or error}); the run goes on "
                        "without this log")


def open_logs(run: RunConfig, folder: RunFolder, start: int, settings: Mapping[str, str]) -> Logs:
    """The logs of the first rank, continuing after `start` steps."""
    try:
        places: list[Log] = [JsonLines(folder.log, start), TensorBoard(folder.path / "tensorboard", start)]
    except OSError as error:
        raise UserError("log.write", where=str(folder.path), what=f"its logs cannot be written "
                        f"({error.strerror or error})", fix="free space, or choose another run.output_dir") from error
    if run.wandb_log:
        check_wandb(run)
        places.append(WeightsAndBiases(run, folder.path, settings))
    return Logs(places)
