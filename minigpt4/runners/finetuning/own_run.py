"""The run YAML of `minigpt4 finetune`: stage 2 from a bundle on own data, readable and ready to be changed.

Everything about the model comes from the bundle; only values that differ from its packaged YAML are written out.
Schedule: as the original's stage 2 (1,000 steps, a fifth of them warm-up, 0.3 of the learning rate of stage 1), shorter
where there is less data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from minigpt4.common.config import Config, load_fragment
from minigpt4.common.config.fields import fields_of
from minigpt4.common.config.layers import Layer, merge, read_options
from minigpt4.common.config.write import plain
from minigpt4.common.errors import UserError
from minigpt4.common.registry import systems
from minigpt4.runners.finetuning.own_data import HELD_OUT, OwnData, knowledge_of
from minigpt4.runners.finetuning.wishes import Wishes, frozen_parts, lora_of
from minigpt4.weights.bundles.bundle import TOKENIZER, Bundle

ORIGINAL_STEPS, ORIGINAL_BATCH, ORIGINAL_LR, ORIGINAL_ANSWER = 1000, 12, 3e-5, 160
"""stage 2 of MiniGPT-4 (docs/originals/minigpt4.md#schedule-cosine)"""
MOST_EPOCHS = 10
"""a few hundred samples are overfitted after that"""
FEWEST_STEPS, MOST_EPOCHS_OF_FEW = 200, 40
"""a projection learns a wording of its own from 60 samples in so many steps (benchmarks/own_data.py)"""
MOST_PAUSES = 10
"""measurements and checkpoints of a run"""
LR_OF_STAGE_2 = 0.3
"""of the learning rate of stage 1: 1e-4 and 3e-5 in the original"""
LONGEST_ANSWER = 512
"""tokens; longer answers are cut, end symbol kept"""
BARE_CAPTIONS = "plain"
"""template of stage 1, which knows no questions"""
KEPT_RUN_KEYS = ("weight_decay", "beta2", "clip_grad_norm", "seed")
"""what a model was trained with before suits it still"""

HEAD = """\
# Stage 2 on own data, written by `minigpt4 finetune`. The model continues from {bundle}.
# Look at the data:  minigpt4 data show --cfg-path {file}
# Go on after a stop: minigpt4 finetune --output-dir {folder} --resume
# On four GPUs:      torchrun --nproc-per-node 4 train.py --cfg-path {file} --resume
"""


def run_yaml(bundle: Bundle, before: Config, data: OwnData, prompts: Path, folder: Path, wishes: Wishes) -> str:
    """The text of `folder/run.yaml`.

    Args:
        bundle: what training continues from.
        before: the bundle's own config.
        data: what the run must know of its data.
        prompts: file of prompts for samples that ask nothing.
        folder: the run folder.
        wishes: what the person said beside.

    Raises:
        UserError: an option has no value, or `--train` does not suit the bundle.
    """
    sections = {
        "model": _model(bundle, before, data, prompts, wishes), "datasets": _datasets(before, data, wishes),
        "run": _run(bundle, before, data, folder, wishes),
    }
    values = merge([Layer(sections), read_options(wishes.options)]).values
    head = HEAD.format(bundle=bundle.folder, file=folder / "run.yaml", folder=folder)
    if before.imports:
        head += yaml.safe_dump({"imports": list(before.imports)})
    notes = {
        "template": "the questions and answers of stage 2" if _is_stage_1(bundle) else "as in the bundle",
        "prompt_path": "one of these asks where a sample asks nothing",
        "max_txt_len": f"tokens of an answer; the longest here has {data.longest_answer}",
        "ckpt": "the bundle this run continues from",
        "max_epoch": f"times through the {data.num_samples} samples",
        "valid_splits": "nothing is held out: these numbers show whether it learns, not how well"
                        if data.held_out is None else f"{data.num_held_out} samples that are not trained on",
    }
    return head + "".join(f"\n{_section(name, section, notes)}" for name, section in values.items())


def _section(name: str, values: Mapping[str, Any], notes: Mapping[str, str]) -> str:
    """One section as YAML, with notes behind its own plain values."""
    text = f"{name}:\n"
    for key, value in values.items():
        dumped = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=1000,
                                default_flow_style=None if isinstance(value, list) else False)
        lines = dumped.splitlines()
        if key in notes and len(lines) == 1:
            lines[0] += f"  # {notes[key]}"
        text += "".join(f"  {line}\n" for line in lines)
    return text


def _is_stage_1(bundle: Bundle) -> bool:
    return bundle.manifest.template == BARE_CAPTIONS


def _model(bundle: Bundle, before: Config, data: OwnData, prompts: Path, wishes: Wishes) -> dict[str, Any]:
    values = _beyond_packaged(before)
    section: type = type(before.model)
    known = fields_of(section)
    needed = min(-(-(data.longest_answer + 4) // 32) * 32, LONGEST_ANSWER)  # 4: the end symbol in any tokenizer
    if "max_txt_len" in known:
        values["max_txt_len"] = max(needed, ORIGINAL_ANSWER, before.model.max_txt_len)
    if _is_stage_1(bundle):
        values["template"] = "llama2" if "llama2" in before.model.model_type else "vicuna_v0"
    if "prompt_path" in known:
        values["prompt_path"] = str(prompts)
    values["ckpt"] = str(bundle.folder.resolve())
    for part, freeze in frozen_parts(before.model, wishes.train).items():
        values[part]["freeze"] = freeze
    if wishes.train == "lora":
        values["llm"]["lora"] = lora_of(before.model)
    for part in bundle.stored_parts:
        values[part]["weights"] = None  # they are in the bundle
    values["llm"]["tokenizer"] = str((bundle.folder / TOKENIZER).resolve())
    if "llm" in bundle.stored_parts:
        values["llm"].pop("random", None)
    order = list(plain(before.model))
    parts = [key for key in order if isinstance(values.get(key), dict)]
    return {key: values[key] for key in [*(key for key in values if key not in parts), *parts]}


def _beyond_packaged(before: Config) -> dict[str, Any]:
    """The bundle's `model:` without what its packaged YAML and the defaults say anyway."""
    values = plain(before.model)
    chosen = {key: values[key] for key in ("arch", "model_type")}
    names = {key: {"name": value["name"]} for key, value in values.items()
             if isinstance(value, dict) and "name" in value}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "packaged.yaml"
        bare = {"imports": list(before.imports), "model": {**chosen, **names}}
        path.write_text(yaml.safe_dump(bare), encoding="utf-8")
        packaged = plain(load_fragment(path).model)
    found: dict[str, Any] = {**chosen, "behaviour": values["behaviour"], **_differing(values, packaged)}
    return {**found, **{part: {**name, **found.get(part, {})} for part, name in names.items()}}


def _differing(values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(usual.get(key), Mapping):
            if below := _differing(value, usual[key]):
                found[key] = below
        elif key not in usual or value != usual[key]:
            found[key] = value
    return found


def _datasets(before: Config, data: OwnData, wishes: Wishes) -> dict[str, Any]:
    spec = systems.get(before.model.arch).pixels(before.model)
    if spec is None:
        raise UserError("finetune.text_only", where=str(data.images), what="has images, and the model is text-only",
                        fix="continue from a model with a visual path")
    processors = {"train": {"name": "blip2_image_train", "image_size": spec.size}}
    for config in before.datasets.values():  # images are varied as they were when the model learned
        if config.vis_processor.train is not None:
            train = plain(config.vis_processor.train)
            processors["train"] = {key: value for key, value in train.items() if value is not None}
            break
    splits = {} if data.held_out is None else {"splits": {HELD_OUT: {"annotations": str(data.held_out)}}}
    return {"image_jsonl": {
        "batch_size": wishes.batch_size or min(ORIGINAL_BATCH, data.num_samples),
        "build_info": {"storage": str(data.images), "annotations": str(data.texts), **splits},
        "vis_processor": processors,
    }}


def _run(bundle: Bundle, before: Config, data: OwnData, folder: Path, wishes: Wishes) -> dict[str, Any]:
    batch_size = wishes.batch_size or min(ORIGINAL_BATCH, data.num_samples)
    steps_per_epoch = max(1, data.num_samples // batch_size)
    epochs = wishes.epochs or usual_epochs(steps_per_epoch)
    steps = epochs * steps_per_epoch
    peak = ORIGINAL_LR
    if before.run is not None:
        peak = before.run.init_lr * (LR_OF_STAGE_2 if _is_stage_1(bundle) else 1)
    kept = {} if before.run is None else {key: getattr(before.run, key) for key in KEPT_RUN_KEYS}
    return {
        "task": "image_text_pretrain", "job_name": "finetune", "lr_sched": "warmup_cosine",
        "init_lr": _short(peak), "min_lr": _short(peak / 3), "warmup_lr": _short(peak / 30), "warmup_steps": steps // 5,
        **{key: value for key, value in kept.items() if value is not None},
        "max_epoch": epochs, "num_workers": 0 if data.num_samples < 500 else 4, "log_freq": max(1, steps // 50),
        "output_dir": str(folder), "train_splits": ["train"], "valid_samples": 64,
        "valid_splits": ["train" if data.held_out is None else HELD_OUT], **_pauses(epochs, steps),
        "knows": asdict(knowledge_of(data, bundle.manifest.knows)),
    }


def usual_epochs(steps_per_epoch: int) -> int:
    """As many as make the original's number of steps, within bounds; short ones are worth more of them."""
    epochs = min(MOST_EPOCHS, round(ORIGINAL_STEPS / steps_per_epoch))
    return max(1, epochs, min(MOST_EPOCHS_OF_FEW, round(FEWEST_STEPS / steps_per_epoch)))


def _pauses(epochs: int, steps: int) -> dict[str, int]:
    """Steps between measurements and between checkpoints; an epoch of a few steps is too short for either."""
    every = -(-steps // MOST_PAUSES)
    return {} if epochs <= MOST_PAUSES else {"valid_every": every, "save_every": every}


def _short(rate: float) -> float:
    return float(f"{rate:.3g}")
