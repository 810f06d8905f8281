"""Files of single parts in our own names (`vision.model.…`), as a bundle holds them: written small, read by any model.

`model.vision.weights` and `model.resampler.weights` may be such a file, or a bundle: each takes the tensors that bear
its name. The parts shipped in the package are such files.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_folder, write_json
from minigpt4.models.freezing import DTYPES
from minigpt4.weights.bundles.adapters import PREFIX
from minigpt4.weights.bundles.bundle import TOKENIZER, Bundle
from minigpt4.weights.files.readers import read_json
from minigpt4.weights.files.shard_writer import SHARD_BYTES, LazyTensor, write_tensors
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.plan import ConversionPlan, Ignorable, Rule

CONNECTOR = "connector"
"""stays behind: it belongs to the language model it was trained with"""
LANGUAGE_MODEL = "llm"
LOG_KEYS = ("kind", "step", "loss", "lr", "grad_norm", "samples_per_second")
LOG_EVERY = 50
"""steps of the run's log that are kept; measurements are kept whole"""
LANGUAGE_MODEL_PREFIX = "llm.model."


def own_plan(part: str, file: TensorFile) -> ConversionPlan | None:
    """How a part takes its tensors from a file in our names; None if the file is of another form.

    Raises:
        UserError: the file has adapters on it, which would be left behind.
    """
    owners = {name.partition(".")[0] for name in file.names}
    if part not in owners:
        return None
    if any(name.startswith(f"{PREFIX}{part}.") for name in file.names):
        raise UserError("weights.adapters", where=str(file.path), what=f"has adapters on the {part}",
                        fix="merge them first: minigpt4 weights merge")
    others = tuple(Ignorable(f"{owner}.*", "other parts") for owner in sorted(owners - {part}))
    return ConversionPlan(f"{part} file", (Rule(f"{part}.*", (f"{part}.*",)),), others)


def write_parts(bundles: Sequence[Bundle], target: Path, *, dtype: str = "fp16", shard_bytes: int = SHARD_BYTES
                ) -> list[str]:
    """Write the parts that were trained, but for the connector, for use in other models.

    Args:
        bundles: what training wrote. A part that several of them trained is taken from the last.
        target: new folder. A language model becomes a Hugging Face folder with its tokenizer, other parts one
            `model.safetensors` in our names. The runs' logs, where there are any, come along, thinned.
        dtype: of the floating-point tensors: fp16, bf16 or fp32.
        shard_bytes: a file of tensors grows up to this size.

    Returns:
        lines that say what was written.

    Raises:
        UserError: nothing was trained, a language model together with other parts, or adapters; `target` cannot be
            written.
    """
    homes = {part: bundle for bundle in bundles for part in _trained(bundle)}
    _refuse_unfit(bundles, list(homes))
    tensors = [_as(dtype, name, home) for part, home in homes.items() for name in _names_of(home, part)]
    with atomic_folder(target) as folder:
        if LANGUAGE_MODEL in homes:
            home = homes[LANGUAGE_MODEL]
            tensors = _in_own_names(tensors, read_json(home.llm_config_path))
            _write_sidecars(home, folder, dtype)
        write_tensors(folder, tensors, shard_bytes)
        for log, place in _logs(bundles).items():
            (folder / log).write_text(_thinned(place), encoding="utf-8")
    count = sum(math.prod(tensor.shape) for tensor in tensors)
    return [f"{target}: {', '.join(homes)}, {len(tensors)} tensors, {count:,} numbers in {dtype}"]


def _trained(bundle: Bundle) -> list[str]:
    return [name for name, part in bundle.manifest.parts.items()
            if part.stored and not part.frozen and name != CONNECTOR]


def _refuse_unfit(bundles: Sequence[Bundle], trained: list[str]) -> None:
    where = ", ".join(str(bundle.folder) for bundle in bundles)
    if any(bundle.adapted_parts for bundle in bundles):
        raise UserError("weights.adapters", where=where, what="has adapters",
                        fix="merge them first: minigpt4 weights merge")
    if not trained:
        raise UserError("weights.parts", where=where, what="has no part that was trained",
                        fix="give the run that trained it")
    if LANGUAGE_MODEL in trained and len(trained) > 1:
        raise UserError("weights.parts", where=where, what=f"trained {', '.join(trained)} together",
                        fix="it is a whole model: use the bundle itself")


def _names_of(bundle: Bundle, part: str) -> list[str]:
    return [name for name in bundle.file.names if name.partition(".")[0] == part]


def _logs(bundles: Sequence[Bundle]) -> dict[str, Path]:
    """Name in the new folder -> the log of a run: log.jsonl, or log_1.jsonl, log_2.jsonl, … of several."""
    found = [place for bundle in bundles if (place := bundle.folder.parent / "log.jsonl").exists()]
    names = ["log.jsonl"] if len(bundles) == 1 else [f"log_{number}.jsonl" for number in range(1, len(found) + 1)]
    return dict(zip(names, found, strict=False))


def _as(dtype: str, name: str, bundle: Bundle) -> LazyTensor:
    """A tensor of a bundle in another precision, where it has one."""
    stored = bundle.file.dtypes[name]
    wanted = DTYPES[dtype] if stored.is_floating_point else stored
    return LazyTensor(name, bundle.file.shapes[name], wanted, lambda: bundle.file.load(name).to(wanted))


def _in_own_names(tensors: Sequence[LazyTensor], config: Mapping[str, object]) -> list[LazyTensor]:
    """A language model as transformers names it, without the output layer where that is the input embedding."""
    named = [replace(tensor, name=tensor.name.removeprefix(LANGUAGE_MODEL_PREFIX)) for tensor in tensors]
    tied = bool(config.get("tie_word_embeddings"))
    return [tensor for tensor in named if not (tied and tensor.name == "lm_head.weight")]


def _thinned(log: Path) -> str:
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    kept = [{key: record[key] for key in LOG_KEYS if key in record} if record["kind"] == "step" else record
            for record in records if record["kind"] != "step" or record["step"] % LOG_EVERY == 0]
    return "".join(json.dumps(record) + "\n" for record in kept)


def _write_sidecars(bundle: Bundle, folder: Path, dtype: str) -> None:
    names = {torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float32"}
    write_json(folder / "config.json", {**read_json(bundle.llm_config_path), "dtype": names[DTYPES[dtype]]})
    for file in sorted((bundle.folder / TOKENIZER).iterdir()):
        shutil.copyfile(file, folder / file.name)
