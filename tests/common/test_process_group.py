"""Which process this is, and a start to which not everybody comes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist

from minigpt4.common.errors import UserError
from minigpt4.common.process_group import Place, ProcessGroup, agree_on_start, join, place_from
from tests.runners.processes import free_port

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
SLURM = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1"}


def test_torchrun_and_slurm_say_who_we_are() -> None:
    assert place_from(TORCHRUN) == Place(3, 4, 1)
    assert place_from({**SLURM, "MASTER_ADDR": "a", "MASTER_PORT": "1"}) == Place(3, 4, 1)
    assert place_from({}) == Place(0, 1, 0)
    assert place_from({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}) == Place(0, 1, 0)


@pytest.mark.parametrize(("environment", "words"), [
    ({"RANK": "0"}, "WORLD_SIZE, MASTER_ADDR, MASTER_PORT is not; start with torchrun"),
    (SLURM, "export MASTER_ADDR"),
])
def test_half_an_environment_is_explained(environment: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        place_from(environment)


def test_a_restart_does_not_take_the_names_of_the_start_before() -> None:
    """torchrun keeps its store: what an earlier start left there, in whatever state, must not be met again."""
    store, places = dist.HashStore(), [Place(rank, 3) for rank in (2, 0, 1)]
    store.set("asks/1", "a rank that died before it was answered")

    def start() -> set[str]:
        with ThreadPoolExecutor(3) as pool:
            return set(pool.map(lambda place: agree_on_start(store, place, timeout=20), places))

    first, second = start(), start()
    assert len(first) == len(second) == 1 and first != second
    with pytest.raises(RuntimeError, match="rank 1, 2 did not come"):
        agree_on_start(store, Place(0, 3), timeout=0.1)


def test_a_group_of_one_talks_to_itself() -> None:
    group = ProcessGroup()
    assert group.sum([1.5, 2.0]) == [1.5, 2.0]
    assert group.any(True) and not group.any(False)
    assert group.gather("here") == ["here"]
    assert group.is_first


def test_u24_a_start_that_others_miss_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    with pytest.raises(UserError, match=f"rank 0 of 2 waits for the others at 127.0.0.1:{port} and not all came"):
        join(Place(0, 2), cuda=False, timeout=1)
