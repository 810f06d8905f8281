"""What is not there is told before torch is imported: in less than a second of CPU time."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

CALLS = {
    "chat: model": ("chat nowhere --image mine/a.png --question x", "nowhere: no such file or folder"),
    "chat: image": ("chat model.yaml --image mine/b.png --question x", "mine/b.png: no such image"),
    "chat: weights": ("chat absent.yaml --question x", "model.ckpt is 'output/none', which does not exist"),
    "caption: model": ("caption mine --model nowhere", "nowhere: no such file or folder"),
    "caption: images": ("caption theirs --model model.yaml", "theirs: is not a folder"),
    "eval: model": ("eval nowhere --texts t.jsonl --images mine", "nowhere: no such file or folder"),
    "eval: image": ("eval model.yaml --texts t.jsonl --images mine", "1 images are not there: t.jsonl:1: b.png"),
    "eval: scenes": ("eval model.yaml --scenes none", "none/seen"),
    "show: model": ("show nowhere", "nowhere: no such file or folder"),
    "demo: model": ("demo --model nowhere", "nowhere: no such file or folder"),
    "demo: weights": ("demo --cfg-path absent.yaml", "model.ckpt is 'output/none', which does not exist"),
    "finetune: model": ("finetune --images mine --texts t.jsonl --from nowhere --output-dir o", "nowhere: is neither"),
    "finetune: texts": ("finetune --images mine --texts u.jsonl --from run --output-dir o", "u.jsonl: is not a file"),
    "finetune: image": ("finetune --images mine --texts t.jsonl --from run --output-dir o", "t.jsonl:1: b.png"),
    "train: YAML": ("train --cfg-path nowhere.yaml", "nowhere.yaml"),
    "train: weights": ("train --cfg-path absent.yaml", "model.ckpt is 'output/none', which does not exist"),
}
SCRIPT = """
import sys
from minigpt4.cli.main import main
status = main(sys.argv[1:])
print(sorted({"torch", "transformers", "gradio"} & set(sys.modules)))
sys.exit(status)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image, a line about another one, two YAMLs and something that looks like a run."""
    (tmp_path / "mine").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "mine" / "a.png")
    (tmp_path / "t.jsonl").write_text(json.dumps({"image": "b.png", "caption": "a rose"}))
    (tmp_path / "model.yaml").write_text("model: {arch: minigpt4, model_type: scenes, template: plain}\n")
    (tmp_path / "absent.yaml").write_text("model: {arch: minigpt4, model_type: scenes, ckpt: output/none}\nrun: {}\n")
    (tmp_path / "run" / "checkpoint_00000001").mkdir(parents=True)
    (tmp_path / "run" / "checkpoint_00000001" / "manifest.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("call", CALLS)
def test_what_is_not_there_is_told_before_anything_heavy_is_imported(call: str, folder: Path, project: Path) -> None:
    words, said = CALLS[call]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words.split()], capture_output=True, text=True, cwd=folder,
                          env={"PYTHONPATH": str(project), "PATH": ""}, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert done.stdout.strip() == "[]"
    assert after.ru_utime - before.ru_utime < 1.0
