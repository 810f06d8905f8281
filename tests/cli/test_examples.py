"""The examples that end each help run as printed, on a CPU, in a folder as `make demo` leaves it.

Only sizes are added behind them: fewer tokens, fewer steps, fewer scenes.
"""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest

from minigpt4.cli import main as door
from tests.cli.pages import ONE_STEP, run_command

SMALLER = {
    "caption": " --max-new-tokens 5 --device cpu",
    "chat": " --max-new-tokens 5 --device cpu",
    "eval": " --limit 1",
    "finetune": " --epochs 1 --batch-size 150",
    "train": f" --options {ONE_STEP} run.batch_size_train=2",
}
ENDS_WITH_A_SENTENCE = {
    "apply-delta": "wants downloaded weights; tests/weights run it on tiny ones",
    "weights": "wants downloaded weights; tests/weights run it on tiny ones",
    "curate": "nothing that a model of a few steps writes passes the rules; tests/curation run it to its end",
}
"""commands whose examples cannot run here, and why: they still end with a sentence and status 2"""

ALL = [(name, example) for name in door.commands() for example in door._command(name).EXAMPLES]


@pytest.mark.parametrize(("name", "example"), ALL, ids=[f"{name}-{number % 2}" for number, (name, _) in enumerate(ALL)])
def test_u14_every_example_runs_after_make_demo(name: str, example: str, after_make_demo: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """No command needs a GPU, and the terminal is enough for every one."""
    lines = "what is this\n/image output/scenes/seen/images/000000.png\nand this\n/clear\n/quit\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    if name == "finetune" and "--resume" in example:
        assert run_command(f"{door._command(name).EXAMPLES[0]} --write-only{SMALLER[name]}") == 0
    if name == "demo":  # the page itself: tests/browser
        monkeypatch.setattr("minigpt4.serve.page.launch", lambda page, **flags: "")
    program, *words = shlex.split(example)
    if program == "torchrun":  # its processes are tested in tests/runners; the command inside is `minigpt4 train`
        example = "minigpt4 train " + shlex.join(words[words.index("train.py") + 1 :])
    assert run_command(example + SMALLER.get(name, "")) == (2 if name in ENDS_WITH_A_SENTENCE else 0)
