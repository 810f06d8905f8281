"""A run YAML of the recorded tiny model on the recorded data, sizes read from the oracle folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from minigpt4.common.config.write import plain
from tests.parity import minigpt4_folder


def write_tiny_run(folder: Path, *, run: dict[str, Any] | None = None, datasets: dict[str, Any] | None = None,
                   **model: Any) -> Path:
    """`folder/run.yaml`: stage 2 on `cc_sbu_align`, three samples a batch, results in `folder/out`."""
    data = str(minigpt4_folder.folder() / "data" / "cc_sbu_align")
    config = minigpt4_folder.config(behaviour="standard", template="vicuna_v0", max_txt_len=40, **model)
    sections = {
        "model": plain(dataclasses.replace(config, model_type="custom")),
        "datasets": datasets or {"cc_sbu_align": {
            "batch_size": 3, "build_info": {"storage": data, "splits": {"val": {"storage": data}}},
        }},
        "run": {"lr_sched": "warmup_cosine", "init_lr": 1e-3, "max_epoch": 2, "iters_per_epoch": 3, "device": "cpu",
                "valid_captions": 2, "valid_splits": ["val"], "output_dir": str(folder / "out"), **(run or {})},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    return path
