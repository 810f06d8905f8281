"""The recipe of the vision parts without its photographs, which only some machines have."""

from __future__ import annotations

from pathlib import Path

import yaml


def without_photographs(project: Path, folder: Path) -> Path:
    """The recipe with drawn scenes alone, in a file of its own."""
    recipes = project / "train_configs"
    content = yaml.safe_load((recipes / "parts_vision_q_former.yaml").read_text(encoding="utf-8"))
    del content["datasets"]["labelled_photographs"], content["datasets"]["drawn_scenes"]["sample_ratio"]
    content["model"]["llm"]["tokenizer"] = str(recipes / content["model"]["llm"]["tokenizer"])
    path = folder / "scenes_only.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
