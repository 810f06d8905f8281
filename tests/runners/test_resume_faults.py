"""What a resume refuses: damaged checkpoints, exchanged parts and data, folders in use; and the way on it names."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from minigpt4.runners.checkpoint import read_state
from minigpt4.runners.lock import LOCK, RunLock
from minigpt4.runners.logs import Logs
from minigpt4.runners.run_folder import RunFolder
from minigpt4.runners.runner_base import RunnerBase
from minigpt4.weights.bundles.seal import seal
from tests.hostile.damage import KINDS, damage
from tests.parity import minigpt4_folder
from tests.tasks.tiny_runs import write_tiny_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with run.yaml, its own copies of parts and data, and a run of six steps with a checkpoint each."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(minigpt4_folder.folder() / "parts", folder / "parts")
    path = write_tiny_run(folder, run={"keep_checkpoints": 9, "save_every": 2, "valid_splits": []})
    shutil.copytree(minigpt4_folder.folder() / "data" / "cc_sbu_align", folder / "data")
    text = path.read_text(encoding="utf-8").replace(str(minigpt4_folder.folder() / "parts"), "parts")
    text = text.replace(str(minigpt4_folder.folder() / "data" / "cc_sbu_align"), "data")
    path.write_text(text.replace(str(folder / "out"), "out"), encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["train", "--cfg-path", "run.yaml"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """The run after its fourth step."""
    shutil.copytree(trained, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    folder = RunFolder(Path("out"))
    shutil.move(folder.checkpoint(6), tmp_path / "checkpoint_00000006")
    return folder


def resume(*words: str) -> int:
    return main(["train", "--cfg-path", "run.yaml", *(words or ["--resume"])])


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def test_a_flipped_bit_in_any_file_is_refused_and_the_checkpoint_before_goes_on(
        run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("state.pt", "model.safetensors", "manifest.json", "config.yaml", "SHA256SUMS"):
        path = run.checkpoint(4) / name
        before = path.read_bytes()
        flip(path, random.Random(len(name)))
        assert resume() == 2
        assert "--resume-from 2" in capsys.readouterr().err, name
        path.write_bytes(before)
    flip(run.checkpoint(4) / "state.pt", random.Random(0))
    assert resume("--resume-from", "2") == 0
    wanted = load_file(tmp_path / "checkpoint_00000006" / "model.safetensors")
    found = load_file(run.checkpoint(6) / "model.safetensors")
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert (run.path / "set_aside" / "checkpoint_00000004" / "state.pt").exists()


@pytest.mark.slow
def test_twenty_damaged_checkpoints_are_refused(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                               ) -> None:
    """One thing each, as tests/hostile/damage.py does it; every sentence names the checkpoint before."""
    whole = tmp_path / "whole"
    shutil.copytree(run.checkpoint(4), whole)
    for number in range(20):
        kind = KINDS[number % len(KINDS)]
        name = damage(run.checkpoint(4), random.Random(number), kind)
        assert resume() == 2, (name, kind)
        assert "--resume-from 2" in capsys.readouterr().err, (name, kind)
        shutil.rmtree(run.checkpoint(4))
        shutil.copytree(whole, run.checkpoint(4))


def test_a_checkpoint_without_its_state_is_not_passed_over(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    (run.checkpoint(4) / "state.pt").unlink()
    assert resume() == 2
    assert "checkpoint_00000004: has no state.pt; continue from the checkpoint before it: --resume-from 2" in (
        capsys.readouterr().err)
    assert resume("--resume-from", "2") == 0
    assert (run.path / "set_aside" / "checkpoint_00000004").is_dir()


def test_without_a_checkpoint_before_it_says_so(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run.checkpoint(2))
    flip(run.checkpoint(4) / "config.yaml", random.Random(3))
    assert resume() == 2
    assert "there is none before it" in capsys.readouterr().err


def test_a_step_without_checkpoint_names_those_there(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert resume("--resume-from", "3") == 2
    assert "there are: 2, 4" in capsys.readouterr().err


def _exchange_llm(folder: Path) -> None:
    file = folder / "parts" / "llm" / "model.safetensors"
    if not file.exists():
        file = next((folder / "parts" / "llm").glob("*.safetensors"), None) or next(
            (folder / "parts" / "llm").glob("*.bin"))
    if file.suffix == ".safetensors":
        save_file({name: value * 1.01 for name, value in load_file(file).items()}, file, metadata={"format": "pt"})
    else:
        torch.save({name: value * 1.01 for name, value in torch.load(file, weights_only=True).items()}, file)


def _exchange_vision(folder: Path) -> None:
    file = folder / "parts" / "eva_vit_tiny.pth"
    torch.save({name: value * 1.01 for name, value in torch.load(file, weights_only=True).items()}, file)


def _exchange_resampler(folder: Path) -> None:
    file = folder / "parts" / "blip2_pretrained_tiny.pth"
    content = torch.load(file, weights_only=True)
    tensors = content.get("model", content)
    name = next(name for name in tensors if "crossattention" in name and name.endswith("query.weight"))
    tensors[name] = tensors[name] * 1.01
    torch.save(content, file)


def _exchange_tokenizer(folder: Path) -> None:
    path = folder / "parts" / "llm" / "added_tokens.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**{f"{name}x": number for name, number in known.items()}}))


def _another_caption(folder: Path) -> None:
    path = folder / "data" / "filter_cap.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["annotations"][0]["caption"] += " And more."
    path.write_text(json.dumps(content), encoding="utf-8")


def _fewer_records(folder: Path) -> None:
    path = folder / "data" / "filter_cap.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({"annotations": content["annotations"][:-1]}), encoding="utf-8")


def _tensors_of_another_step(folder: Path) -> None:
    second, fourth = (folder / "out" / f"checkpoint_0000000{step}" for step in (2, 4))
    shutil.copyfile(second / "model.safetensors", fourth / "model.safetensors")
    seal(fourth)


def _no_tensors(folder: Path) -> None:
    checkpoint = folder / "out" / "checkpoint_00000004"
    save_file({"other.weight": torch.zeros(2)}, checkpoint / "model.safetensors")
    seal(checkpoint)


def _empty_manifest(folder: Path) -> None:
    path = folder / "out" / "checkpoint_00000004" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "parts": {}}))
    seal(path.parent)


def _state_of_another_step(folder: Path) -> None:
    second, fourth = (folder / "out" / f"checkpoint_0000000{step}" for step in (2, 4))
    shutil.copyfile(second / "state.pt", fourth / "state.pt")
    seal(fourth)


@pytest.mark.parametrize(("change", "sentence"), [
    (_exchange_llm, "was trained with the llm"), (_exchange_vision, "was trained with the vision"),
    (_exchange_resampler, "was trained with the resampler"), (_exchange_tokenizer, "was trained with the tokenizer"),
    (_another_caption, "the training data changed: cc_sbu_align had"), (_fewer_records, "the training data changed"),
    (_tensors_of_another_step, "files of different bundles stand together"), (_no_tensors, "connector"),
    (_empty_manifest, "lacks what trains: connector"), (_state_of_another_step, "is the state after step 2"),
], ids=["llm", "vision", "resampler", "tokenizer", "caption", "records", "tensors", "no tensors", "manifest", "state"])
def test_exchanged_parts_are_refused(run: RunFolder, change: Callable[[Path], None], sentence: str,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    change(Path.cwd())
    assert resume() == 2
    assert sentence in capsys.readouterr().err


def test_other_data_under_the_same_path_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    from tests.faults.test_runner_faults import _run
    from tests.runners.fakes import make_job

    _run(make_job(tmp_path / "run", max_epoch=1))
    job = make_job(tmp_path / "run", max_epoch=1)
    monkeypatch.setattr(type(job.task), "data_identities", lambda self: {"0: fake": "12 samples"})
    with pytest.raises(UserError, match="the training data changed: fake had endless, has 12 samples"):
        _run(job, resume=True)


def test_the_report_of_a_resume_says_where_its_parts_are_from(run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    manifest = run.checkpoint(4) / "manifest.json"
    values = json.loads(manifest.read_text())
    values["versions"]["torch"] = "1.0"
    manifest.write_text(json.dumps(values))
    seal(manifest.parent)
    with caplog.at_level("INFO"):
        assert resume() == 0
    assert "checkpoint_00000004: connector, as they were after step 4" in caplog.text
    assert "connector: random initial weights" not in caplog.text and "random initial" not in caplog.text
    assert f"torch was 1.0 when this checkpoint was written, is {torch.__version__}" in caplog.text


@pytest.mark.parametrize(("content", "sentence"), [
    ([], "it is a list"), ({"step": 4}, "it lacks position"), ({"more": 1}, "it has more"),
])
def test_a_state_of_another_shape(tmp_path: Path, content: object, sentence: str) -> None:
    (tmp_path / "checkpoint_00000004").mkdir()
    torch.save(content, tmp_path / "checkpoint_00000004" / "state.pt")
    with pytest.raises(UserError, match=f"is not the state of a run: {sentence}"):
        read_state(tmp_path / "checkpoint_00000004")


# --- who works here ---


def test_a_folder_is_used_by_one_run(tmp_path: Path) -> None:
    held = {"host": socket.gethostname(), "pid": os.getppid(), "started": _start(os.getppid())}
    (tmp_path / LOCK).write_text(json.dumps(held))
    with pytest.raises(UserError, match=f"process {os.getppid()} works in this folder"):
        RunLock(tmp_path).take()


def test_a_lock_of_another_machine_names_the_command(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": 0}))
    with pytest.raises(UserError, match=f"process 1 on elsewhere works in this folder.*rm {tmp_path / LOCK}"):
        RunLock(tmp_path).take()


@pytest.mark.parametrize(("name", "value"), [("TORCHELASTIC_RUN_ID", "night-1"), ("SLURM_JOB_ID", "77")])
def test_a_restart_on_another_machine_takes_the_lock_of_its_own_launch(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    (tmp_path / LOCK).write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": 0, "launch": f"{name} other"}))
    with pytest.raises(UserError, match="process 1 on elsewhere works in this folder"):
        RunLock(tmp_path).take()
    (tmp_path / LOCK).write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": 0, "launch": f"{name} {value}"}))
    with RunLock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["host"] == socket.gethostname()


@pytest.mark.parametrize("content", [
    "", "{", json.dumps({"host": socket.gethostname(), "pid": 2 ** 22 - 3, "started": 5.0}),
    json.dumps({"host": socket.gethostname(), "pid": os.getppid(), "started": 5.0}),
    json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": 5.0}),
], ids=["empty", "cut", "gone", "another process of that number", "own number"])
def test_a_stale_lock_is_taken_over(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK).write_text(content)
    with RunLock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def _start(pid: int) -> float:
    import psutil

    return psutil.Process(pid).create_time()


def test_a_resume_clears_what_a_kill_left(run: RunFolder) -> None:
    """A kill between the two moves of a replacement leaves the whole old checkpoint under another name."""
    old = run.path / ".checkpoint_00000004.host-12-abc.old"
    old.mkdir()
    run.checkpoint(4).rename(old / "checkpoint_00000004")
    part = run.path / ".checkpoint_00000006.host-12-xyz.part"
    part.mkdir()
    (run.path / ".last.host-12-q_1.part").write_text("x")
    (run.path / LOCK).write_text("")
    assert resume() == 0
    assert [path.name for path in run.checkpoints()] == [f"checkpoint_0000000{step}" for step in (2, 4, 6)]
    assert not [path.name for path in run.path.iterdir() if path.name.startswith(".")]
    assert not (run.path / LOCK).exists()


def test_a_log_that_cannot_be_written_is_given_up_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def write(self, kind: str, step: int, numbers: object) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            raise AssertionError("it was given up")

    class Good:
        lines = 0

        def write(self, kind: str, step: int, numbers: object) -> None:
            self.lines += 1

        def close(self) -> None:
            self.lines += 1

    good = Good()
    logs = Logs([Full(), good])
    logs.write("step", 1, {})
    logs.write("step", 2, {})
    logs.close()
    assert good.lines == 3
    assert caplog.text.count("Full: cannot be written (No space left on device); the run goes on") == 1


def test_a_killed_data_worker_is_a_sentence(run: RunFolder, capsys: pytest.CaptureFixture[str],
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed while a step is computed: PyTorch raises it there, out of a signal handler."""
    def killed(self: RunnerBase, window: object) -> None:
        for child in psutil.Process().children(recursive=True):
            child.kill()
        time.sleep(2)

    monkeypatch.setattr(RunnerBase, "_compute", killed)
    assert main(["train", "--cfg-path", "run.yaml", "--resume", "--options", "run.num_workers=1"]) == 2
    said = capsys.readouterr().err
    assert "a process that reads images was killed (DataLoader worker" in said and "--resume" in said
    assert not (run.path / LOCK).exists()
