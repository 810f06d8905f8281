"""Vicuna deltas: base + delta = Vicuna, and back; by key, one tensor in memory at a time.

The row rule: a row that the base lacks counts as zero. A Vicuna v0 delta has one row more than LLaMA ([PAD]), a v1.1
delta as many. Sums are taken in the delta's dtype, as FastChat did (docs/originals/minigpt4.md#files-delta).
Rotary buffers are
left out: old files hold them, and adding them may double the frequencies. The small files of the result are the
delta's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from minigpt4.common.errors import UserError
from minigpt4.weights.files.model_folder import ModelFolder
from minigpt4.weights.files.shard_writer import LazyTensor
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.llama.delta_pair import Pair, open_pair, refuse_wrong_base
from minigpt4.weights.llama.sidecars import sidecars_of

Combine = Callable[[TensorFile, TensorFile, str], Tensor]


def apply_delta(base: Path, delta: Path, *, allow_other_base: bool = False) -> ModelFolder:
    """Plan the folder base + delta; `write_model_folder` writes it.

    Args:
        base: Hugging Face folder of LLaMA.
        delta: Hugging Face folder of the delta.
        allow_other_base: do not refuse a base that the delta was not made from.

    Raises:
        UserError: the two do not belong together; the sentence says which folder is which.
    """
    pair = open_pair(base, delta, "delta")
    evidence = ["the base was not checked (--allow-other-base)"] if allow_other_base else refuse_wrong_base(pair)
    return _planned(pair, _add, "apply-delta", evidence)


def make_delta(base: Path, model: Path) -> ModelFolder:
    """Plan the folder model - base: a delta from which `apply_delta` makes the model again.

    Raises:
        UserError: the two do not belong together.
    """
    return _planned(open_pair(base, model, "model"), _subtract, "make-delta", [])


def _planned(pair: Pair, combine: Combine, maker: str, evidence: Sequence[str]) -> ModelFolder:
    base, other = pair.base, pair.other
    dtypes = other.file.dtypes
    tensors = [LazyTensor(name, other.file.shapes[name], dtypes[name], partial(combine, base.file, other.file, name))
               for name in other.names]
    sidecars, repaired = sidecars_of(other.path, other.vocabulary, num_rows=other.num_rows, dtype=tensors[0].dtype)
    notes = [*_row_notes(pair), *pair.notes, *evidence, *repaired]
    if other.vocabulary is None:
        notes.append(f"the {other.role} has no tokenizer, so none is written: copy tokenizer.model before use")
    sources = {one.role: {"path": str(one.path), "rows": one.num_rows, "identity": one.fingerprint}
               for one in (base, other)}
    provenance = {"made_by": maker, "layout": pair.layout, **sources, "notes": notes}
    head = [f"{one.role}: {one.path} ({one})" for one in (base, other)]
    report = [*head, f"Vicuna {pair.layout}", _summary(pair, tensors), *notes]
    return ModelFolder(tensors, sidecars, provenance, [*base.weight_files, *other.weight_files], report)


def _summary(pair: Pair, tensors: Sequence[LazyTensor]) -> str:
    left_out = len({*pair.base.file.names, *pair.other.file.names}) - len(tensors)
    dtypes = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors}))
    buffers = f"; left out: {left_out} rotary buffers, computed again on load" if left_out else ""
    return f"{len(tensors)} of {len(pair.other.names)} tensors, {dtypes}{buffers}"


def _row_notes(pair: Pair) -> list[str]:
    base, other = pair.base, pair.other
    extra = other.num_rows - base.num_rows
    if not extra:
        return []
    return [f"row rule: the base has {base.num_rows} rows, the {other.role} {other.num_rows}; "
            f"the {extra} that the base lacks {'count' if extra > 1 else 'counts'} as zero in it"]


def _add(base: TensorFile, delta: TensorFile, name: str) -> Tensor:
    """base + delta in the delta's dtype; a row that the base lacks is zero."""
    added, start = delta.load(name), base.load(name)
    total = torch.zeros_like(added)
    total[: len(start)] = start
    return _finite(total.add_(added), name, delta)


def _subtract(base: TensorFile, model: TensorFile, name: str) -> Tensor:
    """model - base in the model's dtype; a row that the base lacks is zero."""
    difference, start = model.load(name).clone(), base.load(name)
    difference[: len(start)] -= start.to(difference.dtype)
    return _finite(difference, name, model)


def _finite(tensor: Tensor, name: str, file: TensorFile) -> Tensor:
    extremes = torch.stack(torch.aminmax(tensor))  # isfinite of the tensor itself would cost its memory thrice
    if not bool(torch.isfinite(extremes).all()):
        raise UserError("weights.nonfinite", where=str(file.path), what=f"'{name}' becomes nan or inf with this base",
                        fix="one of the files is damaged, or the two do not belong together")
    return tensor
