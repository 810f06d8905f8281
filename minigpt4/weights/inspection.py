"""What a file or folder of weights is, and whether it is whole: `minigpt4 weights info` and `verify`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch

from minigpt4.common.blank_tensors import find_blank_tensors
from minigpt4.common.errors import UserError
from minigpt4.models.language_models.causal_lm import CausalLM
from minigpt4.models.language_models.kinds import refuse_other_kinds
from minigpt4.weights.bundles.bundle import open_bundle
from minigpt4.weights.bundles.inspection import describe_bundle, verify_bundle_tensors
from minigpt4.weights.bundles.places import bundle_in
from minigpt4.weights.bundles.seal import compare_checksums
from minigpt4.weights.files.checksums import CHECKLISTS, SHA256SUMS, nothing, verify_checksums, verify_file
from minigpt4.weights.files.model_folder import PROVENANCE
from minigpt4.weights.files.readers import open_weights, read_json
from minigpt4.weights.files.shard_writer import Progress
from minigpt4.weights.files.sources import CONFIG
from minigpt4.weights.files.tensor_file import TensorFile, some_names
from minigpt4.weights.llama.folder import VOCABULARY_TENSOR, open_llama
from minigpt4.weights.llama.raw import open_raw_llama, raw_llama_plan, target_shapes
from minigpt4.weights.plans.language_model import empty_model, language_model_plan
from minigpt4.weights.plans.loading import fingerprint_file
from minigpt4.weights.plans.loading import target_shapes as parts_shapes
from minigpt4.weights.plans.plan import match
from minigpt4.weights.plans.readings import read_as_it_fits

LLM = "llm"
"""the part that a language model is"""


def describe_weights(path: Path) -> list[str]:
    """A few lines about a file or folder, read from its headers.

    Raises:
        UserError: it cannot be opened.
    """
    if bundle := bundle_in(path):
        return [*_found_in(path, bundle), *describe_bundle(open_bundle(bundle))]
    if _is_raw(path):
        raw = open_raw_llama(path)
        return [f"raw LLaMA: width {raw.params.dim}, {raw.params.n_layers} layers, {len(raw.shards)} shards",
                *_counts(raw.file), "convert it: minigpt4 weights convert-llama"]
    file = open_weights(path)
    if _is_llama(path, file):
        return [*_describe_llama(path), *_counts(file)]
    return [*_describe_language_model(path, file), *_counts(file)]


def verify_weights(path: Path, on_bytes: Progress = nothing) -> list[str]:
    """Read everything: checksums where there are any, the promised names and shapes, and every value.

    Args:
        path: file or folder; of a run folder its newest checkpoint is looked at.
        on_bytes: called with the number of bytes hashed.

    Returns:
        a line per check that was passed.

    Raises:
        UserError: the first check that was not.
    """
    found = bundle_in(path)
    lines, path = (_found_in(path, found), found) if found else ([], path)
    lines += _compare_sums(path, is_bundle=found is not None, on_bytes=on_bytes)
    if found:
        bundle = open_bundle(found)
        lines += verify_bundle_tensors(bundle)
        file = bundle.file
    elif _is_raw(path):
        raw = open_raw_llama(path)
        file = raw.file
        matched = match(raw_llama_plan(raw.params), file.shapes, target_shapes(raw), where=str(path))
        lines.append(f"{len(matched.assignments)} tensors, as params.json says")
    else:
        file = open_weights(path)
        if _is_llama(path, file):
            lines.append(f"a language model of {open_llama(path, 'model')}")
        elif (llm := _language_model(path, file)) is not None:
            matched = read_as_it_fits(file, language_model_plan(llm.model), parts_shapes({LLM: llm})).matched
            lines.append(f"{len(matched.assignments)} tensors, as a {_named(llm)} has them")
    faults = find_blank_tensors((name, file.load(name)) for name in file.names)
    if faults:
        raise UserError("weights.blank", where=str(path), fix="the file is damaged or a placeholder; take another copy",
                        what=some_names((str(fault) for fault in faults), 3).replace("'", ""))
    return [*lines, f"{len(file.names)} of {len(file.names)} tensors can be read; none is blank or not finite"]


def _compare_sums(path: Path, *, is_bundle: bool, on_bytes: Progress) -> list[str]:
    """A line per file of checksums that was compared, or one that says there is none."""
    if is_bundle:
        number = compare_checksums(path, on_bytes)
        return [f"{SHA256SUMS}: all {number} files are as they were written" if number else
                "no checksums: this bundle was written by an earlier version, so only a sample of its values is "
                f"compared (to add them: minigpt4 weights verify --write-sums {path})"]
    lines = [f"{name}: {verify_checksums(path / name, on_bytes)} files match their checksum"
             for name in CHECKLISTS if path.is_dir() and (path / name).exists()]
    if path.is_file() and verify_file(path, on_bytes):
        lines.append(f"it matches its checksum in {path.parent / SHA256SUMS}")
    return lines or ["no checksums to compare"]


def _found_in(path: Path, bundle: Path) -> list[str]:
    return [] if bundle == path else [f"{bundle.name} is its newest checkpoint"]


def _is_llama(path: Path, file: TensorFile) -> bool:
    """True for a folder of LLaMA's kind, also one without config.json."""
    if not path.is_dir() or not any(VOCABULARY_TENSOR.fullmatch(name) for name in file.names):
        return False
    config = path / CONFIG
    return not config.exists() or str(read_json(config).get("model_type", "llama")).lower() == "llama"


def _language_model(path: Path, file: TensorFile) -> CausalLM | None:
    """The empty model of a folder whose config.json is that of a causal language model; None for any other."""
    config = path / CONFIG
    if not path.is_dir() or not config.exists() or _other_kind(config):
        return None
    return empty_model(read_json(config), file, where=str(config))


def _other_kind(config: Path) -> str:
    """What a config.json belongs to that is not a causal language model's; '' if it is one's."""
    try:
        refuse_other_kinds(read_json(config), str(config))
    except UserError as error:
        return error.what
    return ""


def _describe_language_model(path: Path, file: TensorFile) -> list[str]:
    """A language model by its class, and who it is; of another model what its config.json says."""
    llm = _language_model(path, file)
    if llm is not None:
        found = fingerprint_file(language_model_plan(llm.model), file, {LLM: llm})[LLM]
        return [f"language model: {_named(llm)}", f"fingerprint {found.fingerprint}"]
    config = path / CONFIG
    return [f"{CONFIG} {_other_kind(config)}"] if path.is_dir() and config.exists() else []


def _named(llm: CausalLM) -> str:
    layers = llm.model.config.num_hidden_layers
    return f"{type(llm.model).__name__}, width {llm.width}, {layers} layers, {llm.vocab_size} rows"


def _is_raw(path: Path) -> bool:
    return path.is_dir() and any(path.glob("consolidated.*.pth"))


def _counts(file: TensorFile) -> list[str]:
    sizes = {name: torch.Size(shape).numel() for name, shape in file.shapes.items()}
    dtypes = Counter(str(dtype).removeprefix("torch.") for dtype in file.dtypes.values())
    kinds = ", ".join(f"{number} {dtype}" for dtype, number in dtypes.most_common())
    return [f"{len(sizes)} tensors ({kinds}), {sum(sizes.values()):,} parameters: {some_names(file.names, 3)}"]


def _describe_llama(path: Path) -> list[str]:
    folder = open_llama(path, "model")
    lines = [f"language model: {folder}", f"fingerprint {folder.fingerprint}"]
    if folder.vocabulary:
        behind = ", ".join(folder.vocabulary.names_behind)
        lines.append(f"tokenizer: {len(folder.vocabulary.pieces)} pieces" + (f", and {behind}" if behind else ""))
    else:
        lines.append("no tokenizer beside the weights")
    if (path / PROVENANCE).exists():
        made = read_json(path / PROVENANCE)
        sources = [f"{key} {made[key]['path']}" for key in ("base", "delta", "model") if key in made]
        lines.append(f"made by {made['made_by']} of {' and '.join(sources) or made['path']}")
    return lines
