"""A base and a delta (or a whole model to take one from): do they belong together?

Sizes, names, shapes, rows, tokenizers and what the base says of itself: each misfit is refused in a sentence that says
which folder is which. What the values say is asked in `delta_evidence`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.weights.files.model_folder import PROVENANCE
from minigpt4.weights.files.readers import read_json
from minigpt4.weights.files.tensor_file import some_names
from minigpt4.weights.files.vocabulary import first_difference
from minigpt4.weights.llama.delta_evidence import refuse_by_values
from minigpt4.weights.llama.folder import VOCABULARY_TENSOR, LlamaFolder, open_llama
from minigpt4.weights.llama.sidecars import CONFIG

INSIST = "take the original LLaMA as --base, or insist with --allow-other-base"


@dataclass(frozen=True)
class Pair:
    """`other` is laid on `base`, or the base taken from it; the two were checked. `notes` go into the report."""

    base: LlamaFolder
    other: LlamaFolder
    notes: tuple[str, ...] = ()

    @property
    def layout(self) -> str:
        """Which Vicuna this is, by rows and tokenizer."""
        vocabulary = self.other.vocabulary
        pieces = len(vocabulary.pieces) if vocabulary else self.base.num_rows
        added = self.other.num_rows - pieces
        if not added:
            return f"v1.1 or later ({pieces} rows, one a piece)"
        names = ", ".join(vocabulary.names_behind) if vocabulary else ""
        return f"v0 ({pieces} pieces and {added} row{'s' * (added > 1)} more: {names or 'without a name'})"


def open_pair(base: Path, other: Path, role: str) -> Pair:
    """Open both and check that they fit.

    Args:
        base: folder of LLaMA.
        other: folder of the delta or model.
        role: 'delta' or 'model', for the sentences.

    Raises:
        UserError: they do not fit.
    """
    if base.resolve() == other.resolve():
        raise UserError("weights.delta_same", where=str(base), what=f"is given as base and as {role}",
                        fix="give two folders")
    pair = Pair(open_llama(base, "base"), open_llama(other, role))
    _refuse_other_size(pair)
    _refuse_other_names(pair)
    _refuse_other_shapes(pair)
    return Pair(pair.base, pair.other, tuple(_compare_vocabularies(pair)))


def refuse_wrong_base(pair: Pair) -> list[str]:
    """Refuse a base that is a Vicuna already, or that by its values is not the delta's.

    Returns:
        lines for the report.
    """
    base = pair.base
    maker = _value(base.path / PROVENANCE, "made_by")
    name = _value(base.path / CONFIG, "_name_or_path")
    reasons = {
        f"its {PROVENANCE} says that apply-delta made it": maker == "apply-delta",
        f"its {CONFIG} says that it is '{name}'": "vicuna" in name.lower(),
        "it has trained rows beyond its tokenizer's pieces ([PAD] of v0)": _has_trained_rows(base),
    }
    for reason, holds in reasons.items():
        if holds:
            raise UserError("weights.base_is_vicuna", where=str(base.path), fix=INSIST,
                            what=f"(the base) is a Vicuna already: {reason}; the delta {pair.other.path} is of Vicuna "
                            f"{pair.layout} and needs LLaMA")
    return refuse_by_values(base, pair.other)


def _refuse_other_size(pair: Pair) -> None:
    base, other = pair.base, pair.other
    if base.size != other.size:
        raise UserError("weights.delta_size", where=str(other.path), fix="take two folders of the same size",
                        what=f"is a {other.role} of {other}; the base {base.path} is of {base}")


def _refuse_other_names(pair: Pair) -> None:
    problems = []
    for one, another in ((pair.base, pair.other), (pair.other, pair.base)):
        alone = sorted(set(one.names) - set(another.names))
        if alone:
            problems.append(f"{some_names(alone)} only in the {one.role} {one.path}")
    if problems:
        raise UserError("weights.keys", where=str(pair.other.path), what="; ".join(problems),
                        fix="both must have the same tensors: take another copy")


def _refuse_other_shapes(pair: Pair) -> None:
    base, other, role = pair.base.file.shapes, pair.other.file.shapes, pair.other.role
    for name in pair.other.names:
        rows_may_differ = VOCABULARY_TENSOR.fullmatch(name) is not None
        if base[name] == other[name] or (rows_may_differ and base[name][0] < other[name][0]):
            continue
        if rows_may_differ:
            raise UserError(
                "weights.delta_rows", where=str(pair.base.path), fix="take the original LLaMA as --base",
                what=f"(the base) has {base[name][0]} rows, the {role} {pair.other.path} only {other[name][0]}: the "
                "base is a merged Vicuna v0 or a LLaMA with added tokens, or the two are swapped",
            )
        raise UserError("weights.shape", where=str(pair.other.path), fix="take two folders of the same model",
                        what=f"(the {role}): '{name}' is {list(other[name])}, in the base {pair.base.path} "
                        f"{list(base[name])}")


def _compare_vocabularies(pair: Pair) -> list[str]:
    base, other = pair.base, pair.other
    if base.vocabulary is None or other.vocabulary is None:
        without = [f"the {one.role} {one.path}" for one in (base, other) if one.vocabulary is None]
        return [f"tokenizers not compared: none in {' and '.join(without)}"]
    difference = first_difference(base.vocabulary, other.vocabulary)
    if difference:
        raise UserError("weights.tokenizer", where=str(other.path), fix="take the base that it was made from",
                        what=f"(the {other.role}) has another tokenizer than the base {base.path}: {difference} in the "
                        "base, so rows would be added to rows of other words")
    return []


def _has_trained_rows(base: LlamaFolder) -> bool:
    """Rows beyond the pieces that are not zero; zero ones are a LLaMA that was padded by hand."""
    if base.vocabulary is None:
        return False
    first = len(base.vocabulary.pieces)
    tensors = [name for name in base.names if VOCABULARY_TENSOR.fullmatch(name)]
    return any(bool(base.file.load(name)[first:].any()) for name in tensors)


def _value(path: Path, key: str) -> str:
    return str(read_json(path).get(key, "")) if path.exists() else ""
