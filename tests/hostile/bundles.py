"""Hostile bundles: every file of a small bundle changed in seeded ways; without checksums, as a forger has it."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file

from minigpt4.weights.bundles.places import MANIFEST
from minigpt4.weights.bundles.seal import atomic_bundle
from minigpt4.weights.files.checksums import SHA256SUMS
from tests import tiny
from tests.hostile.mutations import change_bytes, change_json, change_yaml, write_acting_pickles

VERBS: tuple[tuple[str, ...], ...] = (
    ("show",), ("weights", "info"), ("weights", "verify"),
    ("chat", "--question", "hi", "--max-new-tokens", "2", "--model"),
    ("weights", "export", "--form", "transformers", "--target", "exported", "--from"),
)


def write_bundle(target: Path) -> Path:
    """A whole small model without sizes and checksums."""
    loaded = tiny.model()
    with atomic_bundle(target) as folder:
        loaded.save_bundle(folder, resolved_config=tiny.as_yaml(loaded.config), stage="stage 2", step=3)
    (target / SHA256SUMS).unlink()
    manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    del manifest["files"]
    (target / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return target


def make_hostile(folder: Path, chance: random.Random, sign: Path) -> str:
    """Change a bundle; what was done, in words."""
    kind = chance.randrange(14)
    if kind < 4:
        return change_json(folder / MANIFEST, chance, depth=5)
    if kind < 6:
        return change_json(folder / "llm_config.json", chance)
    if kind < 8:
        return change_yaml(folder / "config.yaml", chance)
    if kind == 8:
        name = chance.choice(("tokenizer.json", "tokenizer_config.json"))
        return change_json(folder / "tokenizer" / name, chance, depth=4)
    if kind == 9:
        return change_bytes(chance.choice([path for path in folder.rglob("*") if path.is_file()]), chance)
    if kind == 10:
        return _change_tensors(folder / "model.safetensors", chance)
    if kind == 11:
        return _change_config_text(folder / "config.yaml", chance, sign)
    if kind == 12:
        (folder / "model.safetensors").unlink()
        words = write_acting_pickles(folder / "model.safetensors", sign, chance)
        return f"in place of its tensors: {words}"
    path = chance.choice([path for path in folder.rglob("*") if path.is_file()])
    path.unlink()
    path.mkdir()
    return f"{path.name}: a folder"


def _change_tensors(path: Path, chance: random.Random) -> str:
    tensors = load_file(path)
    name = chance.choice(sorted(tensors))
    change = chance.choice(("integer", "complex", "shape", "nan", "missing", "more", "zeros", "bool"))
    value = tensors[name]
    if change == "missing":
        del tensors[name]
    elif change == "more":
        tensors["llm.more"] = value.clone()
    else:
        tensors[name] = {
            "integer": lambda: (value * 100).to(torch.int32), "complex": lambda: value.to(torch.complex64),
            "shape": lambda: torch.zeros(3, 5), "nan": lambda: torch.full_like(value, float("nan")),
            "zeros": lambda: torch.zeros_like(value), "bool": lambda: value > 0,
        }[change]()
    save_file(tensors, path)
    return f"{name}: {change}"


def _change_config_text(path: Path, chance: random.Random, sign: Path) -> str:
    module = sign.with_suffix(".py")
    module.write_text(f"open({str(sign)!r}, 'w').close()\n", encoding="utf-8")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    text = path.read_text(encoding="utf-8")
    line = chance.choice((
        f"imports: [{sign.stem}]", "imports: [antigravity]", "imports: ['os; import sys']", "imports: 7",
        "imports: [[a]]", "imports: {a: b}", "imports: ['../x']",
    ))
    if chance.random() < 0.5:
        path.write_text(f"{line}\n{text}", encoding="utf-8")
        return f"config.yaml: {line}"
    values["model"]["end_sym"] = chance.choice((
        "${oc.env:HOME}", "${oc.decode:x}", "${oc.create:{a: 1}}", "${model.${oc.env:HOME}}", "${a.b.c}", "${",
        "${model}",
    ))
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return f"config.yaml: end_sym {values['model']['end_sym']}"


def hostile_copies(whole: Path, work: Path, number: int, seed: int) -> list[tuple[str, Path, Path]]:
    """(what was done, the bundle, the file that must not appear) for so many changed copies."""
    made = []
    for index in range(number):
        folder, sign = work / f"b{index}" / "bundle", work / f"b{index}" / f"sign_{index}"
        shutil.copytree(whole, folder)
        made.append((f"{index} {make_hostile(folder, random.Random(f'{seed}/{index}'), sign)}", folder, sign))
    return made
