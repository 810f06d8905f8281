"""The plan of a causal language model's file: from its class in transformers and the names in the file.

transformers knows, class by class, under which names a model was published and what has become of them: renamed keys
(GPT-NeoX's `embed_out`), a prefix of the base model that a file has or lacks (GPT-2 and BLOOM without `transformer.`,
OPT with `decoder.`), experts one by one that it keeps stacked (Mixtral, Qwen-MoE), tied output layers, buffers of old
versions. It is asked for each name of the file. Source: transformers 5, `conversion_mapping` and `core_model_loading`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

from minigpt4.models.language_models.bounds import refuse_impossible_sizes
from minigpt4.models.language_models.causal_lm import CausalLM, transformers_config
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.plan import ConversionPlan, Ignorable, PlanOf, Rule, Shape

TARGET = "llm.model."
"""where a language model's own names begin"""
BUFFER = re.compile(r"(^|\.)(rotary_emb\.inv_freq|inv_freq|masked_bias|causal_mask|position_ids)$")
MASK = re.compile(r"(^|\.)(attn|attention)\.bias$")
"""a causal mask [1, 1, positions, positions], beside biases of that name"""
RECOMPUTED = "buffers, computed again"


class Piece(NamedTuple):
    """A tensor of the file that goes into a target, and the converter's pattern that it met ('' = copied)."""

    name: str
    pattern: str


@dataclass
class NamedAsTransformersDoes:
    """What each target of a model is made of, by the names of a file."""

    pieces: dict[str, list[Piece]] = field(default_factory=dict)
    converters: dict[str, WeightConverter] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def language_model_plan(model: PreTrainedModel, prefix: str = "") -> PlanOf:
    """What chooses the plan of a file for a causal language model, which may be empty.

    Args:
        model: the transformers model whose names, below `llm.model.`, the targets are.
        prefix: before its names in a file that holds a whole vision-language model, which then may hold others, too:
            rules of their own can be put beside these.
    """
    def plan(file: TensorFile) -> ConversionPlan:
        known = _named(model, file.names, prefix)
        rules = [Rule(TARGET + target, tuple(prefix + piece.name for piece in pieces), *_made(model, known, target))
                 for target, pieces in known.pieces.items()]
        absent = [Rule(TARGET + target, (prefix + target,)) for target in model.state_dict()
                  if target not in known.pieces]
        ignorable = [Ignorable(prefix + name, RECOMPUTED) for name in known.unknown
                     if _is_buffer(model, name, file.shapes[prefix + name])]
        return ConversionPlan("language model", (*rules, *absent), tuple(ignorable), tuple(_optional(model)))

    return plan


def empty_model(values: Mapping[str, Any], file: TensorFile, *, where: str, prefix: str = "") -> CausalLM:
    """A model without memory for its weights, with as many rows as a file has of the input embedding.

    Args:
        values: of config.json, whose `vocab_size` the file overrules.
        file: the opened weights.
        where: the config.json, for errors.
        prefix: before the language model's names.
    """
    own = {name: shape for name, shape in file.shapes.items() if name.startswith(prefix)}
    refuse_impossible_sizes(values, own, where=where)
    llm = CausalLM(transformers_config(values, where=where), empty=True, where=where)
    rows = embedding_rows(llm.model, file, prefix)
    if rows is None or rows == llm.vocab_size:
        return llm
    return CausalLM(transformers_config(values, where=where, num_rows=rows), empty=True, where=where)


def embedding_rows(model: PreTrainedModel, file: TensorFile, prefix: str = "") -> int | None:
    """Rows that the file has of the model's input embedding; None if it has none."""
    table = model.get_input_embeddings().weight
    target = next(name for name, value in model.named_parameters() if value is table)
    pieces = _named(model, file.names, prefix).pieces.get(target, [])
    return next((file.shapes[prefix + piece.name][0] for piece in pieces), None)


def _named(model: PreTrainedModel, names: Iterable[str], prefix: str) -> NamedAsTransformersDoes:
    """Each name of the file (without the prefix) as transformers reads it, in its order."""
    changes = get_model_conversion_mapping(model)
    renamings = [change for change in changes if isinstance(change, WeightRenaming)]
    converters = [change for change in changes if isinstance(change, WeightConverter)]
    by_pattern = {pattern: converter for converter in converters for pattern in converter.source_patterns}
    there = model.state_dict()
    known = NamedAsTransformersDoes()
    own = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    for name in sorted(own, key=dot_natural_key):
        target, pattern = rename_source_key(name, renamings, converters, model.base_model_prefix, there)
        if target not in there and name in there:
            target, pattern = name, None
        if target not in there or (pattern is None and target in known.pieces):
            known.unknown.append(name)
            continue
        for each in _all_targets(target, by_pattern.get(pattern or "")):
            known.pieces.setdefault(each, []).append(Piece(name, pattern or ""))
            if pattern is not None:
                known.converters[each] = by_pattern[pattern]
    _take_tied(model, known)
    return known


def _all_targets(first: str, converter: WeightConverter | None) -> list[str]:
    """The target that transformers names, and its sisters where one tensor is cut into several."""
    if converter is None:
        return [first]
    head, *others = converter.target_patterns
    return [first, *(first.replace(head, other) for other in others)]


def _made(model: PreTrainedModel, known: NamedAsTransformersDoes, target: str) -> tuple[Any, ...]:
    """How a target is made of its pieces, where it is not a copy: by transformers' own operations."""
    if target not in known.converters:
        return ()
    pieces, converter = known.pieces[target], known.converters[target]
    first = _first_target(target, converter)

    def forward(sources: list[Tensor], shape: Shape) -> Tensor:
        own: Any = deepcopy(converter)  # it collects tensors
        for piece, source in zip(pieces, sources, strict=True):
            own.add_tensor(first, piece.name, piece.pattern, source)
        made = own.convert(first, model=model, config=model.config)[target]
        tensor: Tensor = made[0] if isinstance(made, list) else made
        return tensor

    return forward, _no_way_back


def _first_target(target: str, converter: WeightConverter) -> str:
    head, *others = converter.target_patterns
    return next((target.replace(other, head) for other in others if other in target), target)


def _no_way_back(target: Tensor) -> list[Tensor]:
    raise NotImplementedError("language models are written under transformers' own names")


def _take_tied(model: PreTrainedModel, known: NamedAsTransformersDoes) -> None:
    """Of two tied tensors a file may hold either."""
    for other, name in _tied(model).items():
        if name not in known.pieces and other in known.pieces:
            known.pieces[name] = known.pieces[other]


def _tied(model: PreTrainedModel) -> Mapping[str, str]:
    """Name -> name of the tensor that it is the same as."""
    tied: Mapping[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
    return tied


def _optional(model: PreTrainedModel) -> list[str]:
    may_lack = [re.compile(pattern) for pattern in model._keys_to_ignore_on_load_missing or ()]
    found = [name for name in model.state_dict() if any(pattern.search(name) for pattern in may_lack)]
    return [TARGET + name for name in (*_tied(model), *found)]


def _is_buffer(model: PreTrainedModel, name: str, shape: Shape) -> bool:
    patterns = model._keys_to_ignore_on_load_unexpected or ()
    is_mask = MASK.search(name) is not None and len(shape) == 4
    return is_mask or BUFFER.search(name) is not None or any(re.search(pattern, name) for pattern in patterns)
