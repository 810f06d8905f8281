"""The loop on a fake model: it learns, logs, measures, keeps checkpoints and continues from them exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from minigpt4.common.errors import UserError
from minigpt4.runners.checkpoint import read_state
from minigpt4.runners.curve import read_log
from minigpt4.runners.job import Job, TakenOver
from minigpt4.runners.run_folder import RunFolder
from minigpt4.runners.runner_base import RunnerBase
from minigpt4.weights.bundles.seal import seal
from tests.runners.fakes import make_job


def _weights(job: Job) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in job.model.state_dict().items()}


def _assert_bit_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert all(torch.equal(one[name], other[name]) for name in one)


def _run(job: Job, *, resume: bool = False) -> dict[str, Tensor]:
    RunnerBase(job, resume=resume).run()
    return _weights(job)


def test_a_run_learns_and_leaves_everything_behind(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    _run(make_job(folder, max_epoch=4, valid_splits=["val"], test_splits=["test"]))
    entries = read_log(folder / "log.jsonl")
    losses = [entry["loss"] for entry in entries["step"]]
    assert len(losses) == 24 and losses[-1] < losses[0]
    assert [entry["step"] for entry in entries["valid"]] == [6, 12, 18, 24]
    assert entries["test"][0]["caption of sample 1000"] == "a fake | wanted: a real one"
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert any((folder / "tensorboard").iterdir())
    assert (folder / "last").read_text().strip() == "checkpoint_00000024"
    assert [path.name for path in RunFolder(folder).checkpoints()] == ["checkpoint_00000018", "checkpoint_00000024"]


def test_u23_resume_is_bit_equal_to_the_straight_run(tmp_path: Path) -> None:
    """Dropout is on, accumulation does not divide the epoch, validation draws random numbers in between."""
    settings = {"dropout": 0.3, "accum_grad_iters": 4, "save_every": 1, "lr_sched": "linear_warmup_cosine_lr",
                "keep_checkpoints": 9}
    straight = _run(make_job(tmp_path / "straight", valid_splits=["val"], valid_every=1, **settings))
    _run(make_job(tmp_path / "cut", **settings))
    for later in RunFolder(tmp_path / "cut").checkpoints()[1:]:
        later.rename(tmp_path / later.name)
    resumed = _run(make_job(tmp_path / "cut", num_workers=2, **settings), resume=True)
    _assert_bit_equal(straight, resumed)
    steps = [entry["step"] for entry in read_log(tmp_path / "cut" / "log.jsonl")["step"]]
    assert steps == [1, 2, 3, 4]


def test_a_run_begun_on_two_ranks_goes_on_with_one(tmp_path: Path) -> None:
    """One process sees two micro-batches of two rows where two ranks saw one each: the same four samples a step."""
    straight = _run(make_job(tmp_path / "straight"))
    _run(make_job(tmp_path / "cut"))
    RunFolder(tmp_path / "cut").checkpoint(12).rename(tmp_path / "later")
    path = RunFolder(tmp_path / "cut").checkpoint(6) / "state.pt"
    state = torch.load(path, weights_only=True)
    state["settings"]["processes"] = "2"
    state["ledgers"] = [{"seen": 12, "bad": 1, "in_a_row": 0}, {"seen": 11, "bad": 0, "in_a_row": 2}]
    torch.save(state, path)
    seal(path.parent)
    again = make_job(tmp_path / "cut")
    resumed = _run(again, resume=True)
    for name, value in straight.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-5, atol=1e-6)
    assert again.task.ledger.state() == {"seen": 23 + 24, "bad": 1, "in_a_row": 0}
    assert read_state(RunFolder(tmp_path / "cut").checkpoint(12)).begun_on == 2


def test_resume_without_a_checkpoint_begins_at_the_beginning(tmp_path: Path) -> None:
    _assert_bit_equal(_run(make_job(tmp_path / "a")), _run(make_job(tmp_path / "b"), resume=True))


def test_u43_a_full_output_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("an old run")
    with pytest.raises(UserError, match="not empty; continue with --resume"):
        _run(make_job(tmp_path))


def test_resume_with_other_settings_names_them(tmp_path: Path) -> None:
    _run(make_job(tmp_path / "run"))
    with pytest.raises(UserError, match="run.init_lr was 0.05, is 0.2"):
        _run(make_job(tmp_path / "run", init_lr=0.2), resume=True)


def test_evaluate_measures_and_touches_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    job = make_job(tmp_path / "run", evaluate=True, test_splits=["test"])
    before = _weights(job)
    with caplog.at_level("INFO"):
        _assert_bit_equal(before, _run(job))
    assert "test: loss" in caplog.text
    assert not (tmp_path / "run").exists()


def test_the_report_and_the_last_line_say_what_a_person_needs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        _run(make_job(tmp_path / "run", log_freq=5, job={"report": ("vision: from eva_vit.pth",)}))
    text = caplog.text
    for words in ("vision: from eva_vit.pth", "trains 291 of 291 parameters", "2 epochs x 6 micro-batches",
                  "step 5/12 loss", "left", "chat with it: minigpt4 chat"):
        assert words in text


def test_moments_and_epoch_of_the_original_runner_are_taken_over(tmp_path: Path) -> None:
    """One epoch, then the second from weights, moments and epoch alone, equals two epochs."""
    constant = {"lr_sched": "linear_warmup_step_lr", "lr_decay_rate": 1.0}
    straight = _run(make_job(tmp_path / "straight", **constant))
    first = make_job(tmp_path / "first", max_epoch=1, **constant)
    _run(first)
    moments = read_state(tmp_path / "first" / "checkpoint_00000006").optimizer
    taken = TakenOver(optimizer={"state": moments["state"]}, epoch=0, place="checkpoint_0.pth")
    second = make_job(tmp_path / "second", job={"taken_over": taken}, **constant)
    second.model.load_state_dict(first.model.state_dict())
    _assert_bit_equal(straight, _run(second))


def test_an_original_run_that_is_over_is_refused(tmp_path: Path) -> None:
    taken = TakenOver(optimizer={"state": {}}, epoch=1, place="checkpoint_1.pth")
    with pytest.raises(UserError, match="has 2 epochs done, run.max_epoch is 2; raise run.max_epoch"):
        _run(make_job(tmp_path / "run", job={"taken_over": taken}))


def test_moments_of_another_model_are_refused(tmp_path: Path) -> None:
    taken = TakenOver(optimizer={"state": {0: {"exp_avg": torch.zeros(48, 40)}}}, epoch=0, place="checkpoint_0.pth")
    with pytest.raises(UserError, match="checkpoint_0.pth: its optimizer holds 1 tensors"):
        _run(make_job(tmp_path / "run", job={"taken_over": taken}))
