"""Pages and examples run as printed: blocks of a page, commands in this process, a tiny bundle where they want one."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import tarfile
from pathlib import Path

from minigpt4.cli.main import main
from minigpt4.scenes.data.files import ScenesPlan, write_scenes
from tests import tiny


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


def write_checkout(folder: Path, project: Path) -> None:
    """A folder that looks like a checkout in use: YAMLs, prompts, trained bundles, photographs, scenes, own data."""
    for name in ("train_configs", "eval_configs", "prompts"):
        shutil.copytree(project / name, folder / name)
    write_bundle(folder / "output" / "minigpt4_photos_stage1", template="plain")
    for system in ("photos", "scenes"):
        write_bundle(folder / "output" / f"minigpt4_{system}_stage2", template="vicuna_v0")
    write_scenes(folder / "output" / "scenes", ScenesPlan(stage1=1, stage2=1, dialogues=1, eval=1))
    write_images(folder, "rose.jpg", "tulip.jpg", "images/a.png", "images/b.png", "mine/a.png", "mine/b.png")
    lines = [{"image": f"{name}.png", "caption": "a red rose"} for name in "ab"]
    (folder / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    photos = folder / "data" / "photos"
    for split, number in (("train", 10), ("val", 1)):
        for shard in range(number):
            write_shard(photos / split / f"{shard:05d}.tar")
    write_images(photos / "align" / "image", "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    annotations = [{"image_id": str(number), "caption": "a red rose"} for number in range(1, 5)]
    (photos / "align" / "filter_cap.json").write_text(json.dumps({"annotations": annotations}))


def write_shard(path: Path) -> None:
    """A tar of img2dataset with one image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = io.BytesIO()
    tiny.image(1).save(image, "PNG")
    with tarfile.open(path, "w") as tar:
        for name, content in (("0.jpg", image.getvalue()), ("0.json", b'{"caption": "a red rose"}')):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
