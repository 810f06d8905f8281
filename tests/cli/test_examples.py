"""The examples that end each help run as printed, on a CPU, with a tiny model and a few images where they expect any.

Only sizes are added behind them: fewer tokens, fewer steps, a smaller data set.
"""

from __future__ import annotations

import io
import shlex
import shutil
from pathlib import Path

import pytest

from minigpt4.cli import main as door
from tests.cli.pages import run_command, write_checkout

ONE_STEP = "run.max_epoch=1 run.iters_per_epoch=1 run.batch_size_train=2 run.warmup_steps=0 run.valid_samples=2"
SMALLER = {
    "caption": " --max-new-tokens 5 --device cpu",
    "chat": " --max-new-tokens 5 --device cpu",
    "train": f" --options {ONE_STEP} run.valid_captions=1",
}
ENDS_WITH_A_SENTENCE = {
    "apply-delta": "wants downloaded weights; tests/weights run it on tiny ones",
    "weights": "wants downloaded weights; tests/weights run it on tiny ones",
}
"""commands whose examples cannot run here, and why: they still end with a sentence and status 2"""

ALL = [(name, example) for name in door.commands() for example in door._command(name).EXAMPLES]


@pytest.fixture
def in_checkout(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_checkout(tmp_path, project)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize(("name", "example"), ALL, ids=[f"{name}-{number % 2}" for number, (name, _) in enumerate(ALL)])
def test_u14_every_example_runs_on_a_cpu(name: str, example: str, in_checkout: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """No command needs a GPU, and the terminal is enough for every one."""
    monkeypatch.setattr("sys.stdin", io.StringIO("what is this\n/image tulip.jpg\nand this\n/clear\n/quit\n"))
    if name == "finetune" and "--resume" in example:
        assert run_command(f"{door._command(name).EXAMPLES[0]} --write-only --epochs 1") == 0
    if name == "demo":  # the page itself: tests/browser
        monkeypatch.setattr("minigpt4.serve.page.launch", lambda page, **flags: "")
        example = example.replace("eval_configs/minigpt4_eval.yaml", "output/minigpt4_photos_stage2/config.yaml")
    if name == "train":  # its output folder must be new
        shutil.rmtree(in_checkout / "output" / "minigpt4_photos_stage1")
    program, *words = shlex.split(example)
    if program == "torchrun":  # its processes are tested in tests/runners; the command inside is `minigpt4 train`
        example = "minigpt4 train " + shlex.join(words[words.index("train.py") + 1 :])
    assert run_command(example + SMALLER.get(name, "")) == (2 if name in ENDS_WITH_A_SENTENCE else 0)
