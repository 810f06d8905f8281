"""The processes of a run: who they are, what they exchange, and who is missing.

`torchrun` or SLURM starts the processes; PyTorch's own engine joins them. Gradients travel over nccl (CUDA) or gloo,
control messages always over gloo, so that a missing rank is an error within `timeout` instead of a hang. Then a roll
call over the store finds out who does not answer, and the sentence names it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from minigpt4.common.errors import UserError

log = logging.getLogger(__name__)

ROLL_CALL_SECONDS = 10.0
"""how long a living rank may take to answer a roll call: it only has to leave the same failed message"""
HINT_SECONDS = 20.0
"""when a start that waits says what it waits for; a healthy start takes a few seconds"""


@dataclass(frozen=True)
class Place:
    """Which process this is."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0


def place_from(environment: Mapping[str, str]) -> Place:
    """Read the place that torchrun (RANK, WORLD_SIZE, LOCAL_RANK) or SLURM (SLURM_PROCID, …) gave this process.

    Raises `UserError` where only a part of it is set, or SLURM did not say where rank 0 listens.
    """
    if "RANK" in environment:
        missing = [name for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in environment]
        if missing:
            raise UserError("process.environment", what=f"RANK is set but {', '.join(missing)} is not",
                            fix="start with torchrun, or unset RANK for a single process")
        return Place(int(environment["RANK"]), int(environment["WORLD_SIZE"]), int(environment.get("LOCAL_RANK", 0)))
    if int(environment.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in environment:
        if "MASTER_ADDR" not in environment or "MASTER_PORT" not in environment:
            raise UserError("process.environment", what="SLURM started several tasks, but MASTER_ADDR and MASTER_PORT "
                            "are not set", fix="export MASTER_ADDR=<host of the first node> MASTER_PORT=29500")
        return Place(int(environment["SLURM_PROCID"]), int(environment["SLURM_NTASKS"]),
                     int(environment.get("SLURM_LOCALID", 0)))
    return Place()


class ProcessGroup:
    """The processes of one run; a single process is a group of one whose messages cost nothing.

    Args:
        place: which process this is.
        store: key-value store of all ranks; None for a single process.
        control: gloo group for control messages; None for a single process.
    """

    def __init__(self, place: Place = Place(), store: dist.Store | None = None,
                 control: dist.ProcessGroup | None = None) -> None:
        self.place = place
        self._store = store
        self._control = control

    @property
    def rank(self) -> int:
        return self.place.rank

    @property
    def world_size(self) -> int:
        return self.place.world_size

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and logs."""
        return self.place.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sum of each value over all ranks; also where ranks wait for each other."""
        if self._control is None:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        with self.naming_the_dead():
            dist.all_reduce(total, group=self._control)
        return [float(value) for value in total]

    def gather(self, value: object) -> list[Any]:
        """The small value of every rank, in their order."""
        if self._control is None:
            return [value]
        values: list[Any] = [None] * self.world_size
        with self.naming_the_dead():
            dist.all_gather_object(values, value, group=self._control)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return self.sum([float(flag)])[0] > 0

    def wait(self) -> None:
        """Wait until every rank is here."""
        self.sum([0.0])

    @contextmanager
    def naming_the_dead(self) -> Iterator[None]:
        """A message that fails inside becomes a `UserError` (code `process.dead_rank`) with the names of those gone."""
        try:
            yield
        except RuntimeError as error:
            if self._store is None or not _is_connection_failure(error):
                raise
            raise self._who_is_missing() from error

    def _who_is_missing(self) -> UserError:
        gone = self._roll_call()
        names = "nobody, so the connection between them broke"
        if gone:
            names = ", ".join(f"rank {rank}" for rank in gone)
        return UserError("process.dead_rank",
                         what=f"rank {self.rank} lost its connection; of {self.world_size} ranks these do not answer: "
                              f"{names}",
                         fix="look at the last lines of their output (killed for memory?), then continue with --resume")

    def _roll_call(self) -> list[int]:
        """Ranks that do not say 'here' in time; rank 0 counts as gone where its store does not answer."""
        assert self._store is not None
        try:
            self._store.set(f"here/{self.rank}", "1")
        except RuntimeError:
            return [0]
        until = time.monotonic() + ROLL_CALL_SECONDS
        missing = list(range(self.world_size))
        while missing and time.monotonic() < until:
            try:
                missing = [rank for rank in missing if not self._store.check([f"here/{rank}"])]
            except RuntimeError:
                return [0]
            time.sleep(0.1)
        return missing

    def close(self) -> None:
        """Leave the group."""
        if self._control is not None:
            dist.destroy_process_group()


def _is_connection_failure(error: BaseException) -> bool:
    """PyTorch raises plain RuntimeErrors for a lost gloo peer; these are the words they hold."""
    words = ("connection", "timed out", "timeout", "gloo", "nccl", "peer", "socket", "broken pipe")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)


def join(place: Place, *, cuda: bool, timeout: float, alone: bool = False) -> ProcessGroup:
    """Join the other processes of the run.

    Args:
        place: which process this is; a world of one joins nobody.
        alone: make PyTorch's groups for a world of one, too.
        cuda: whether gradients are on CUDA devices (nccl) or on CPU (gloo).
        timeout: seconds until a silent rank is an error.

    Raises `UserError` (code `process.start`) where not everybody came in time.
    """
    if place.world_size == 1 and not alone:
        return ProcessGroup(place)
    limit, backend = timedelta(seconds=timeout), "cpu:gloo,cuda:nccl" if cuda else "gloo"
    if place.world_size == 1:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1, timeout=limit)
        return ProcessGroup(place, None, dist.new_group(backend="gloo", timeout=limit))
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    waits = f"rank {place.rank} of {place.world_size} waits for the others at {address}"
    hint = threading.Timer(HINT_SECONDS, log.warning, [
        "%s since %.0f s. Did every process start, with the same MASTER_ADDR and MASTER_PORT? Can this host reach it?",
        waits, HINT_SECONDS,
    ])
    hint.daemon = True
    hint.start()
    try:
        found, _, _ = next(dist.rendezvous("env://", place.rank, place.world_size, timeout=limit))
        store = dist.PrefixStore(agree_on_start(found, place, timeout), found)
        dist.init_process_group(backend, store=dist.PrefixStore("gradients", store),
                                rank=place.rank, world_size=place.world_size, timeout=limit)
        control = dist.new_group(backend="gloo", timeout=limit)
    except RuntimeError as error:
        raise UserError("process.start", what=f"{waits} and not all came within {timeout:.0f} s ({_first_line(error)})",
                        fix="start every process with the same MASTER_ADDR, MASTER_PORT and WORLD_SIZE") from error
    finally:
        hint.cancel()
    return ProcessGroup(place, dist.PrefixStore("roll-call", store), control)


def agree_on_start(store: dist.Store, place: Place, timeout: float) -> str:
    """A name of this start that all its ranks know, and no earlier start of the same launch.

    torchrun keeps its store over restarts, with the addresses of processes that are gone. So the first rank makes up a
    name and gives it to whoever asks, each time it is asked by a rank that has not said yet that it knows.

    Raises `RuntimeError` where not everybody came in time.
    """
    own, until = uuid.uuid4().hex, time.monotonic() + timeout
    if place.rank:
        store.set(f"asks/{place.rank}", own)
        store.wait([f"answer/{own}"], timedelta(seconds=timeout))
        name = store.get(f"answer/{own}").decode()
        store.set(f"knows/{name}/{place.rank}", "1")
        return name
    name = own
    while missing := [rank for rank in range(1, place.world_size) if not store.check([f"knows/{name}/{rank}"])]:
        if time.monotonic() > until:
            raise RuntimeError(f"rank {', '.join(map(str, missing))} did not come")
        for rank in missing:
            if store.check([f"asks/{rank}"]):
                store.set(f"answer/{store.get(f'asks/{rank}').decode()}", name)
        time.sleep(0.02)
    return name


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
