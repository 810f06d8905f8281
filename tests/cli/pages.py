"""Pages and examples run as printed: blocks of a page, commands in this process, a tiny bundle where they want one."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

from minigpt4.cli.main import main
from tests import tiny

FEW_SCENES = "--stage1 8 --photographs 4 --stage2 4 --dialogues 8 --newcomers 8 --eval 3"
ONE_STEP = "run.max_epoch=1 run.iters_per_epoch=1 run.warmup_steps=0 run.num_workers=0"


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def run_command(line: str) -> int:
    """`minigpt4 …` in this process -> its exit status."""
    program, *words = shlex.split(line)
    assert program == "minigpt4", f"how is '{line}' run?"
    return main(words)


def write_bundle(folder: Path, *, template: str) -> None:
    """A tiny model's bundle where a page or an example expects one."""
    folder.mkdir(parents=True)
    loaded = tiny.model(template=template)
    config = tiny.as_yaml(loaded.config) + "run: {init_lr: 0.01}\n"
    loaded.save_bundle(folder, resolved_config=config, stage="tiny", step=1)


def write_images(folder: Path, *names: str) -> None:
    """Images of noise under these names."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tiny.image(number).save(folder / name)


def make_demo(folder: Path, project: Path) -> None:
    """What a finished `make demo` leaves, by its own commands, with fewer scenes and steps; and images of one's own.

    The environment is the caller's: commands run in `folder`.
    """
    for name in ("train_configs", "eval_configs", "prompts", "docs/images", "examples"):
        shutil.copytree(project / name, folder / name)
    shutil.copy(project / "docs" / "one_page.py", folder / "docs")
    assert run_command(f"minigpt4 data scenes --output output/scenes {FEW_SCENES}") == 0
    for stage in (1, 2):
        assert run_command(f"minigpt4 train --resume --cfg-path train_configs/minigpt4_scenes_stage{stage}.yaml"
                           f" --options {ONE_STEP} run.batch_size_train=4") == 0
    write_images(folder, "mine/a.png", "mine/b.png")
    lines = [{"image": f"{name}.png", "caption": "a red rose"} for name in "ab"]
    (folder / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
