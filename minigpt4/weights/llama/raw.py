"""Raw LLaMA (`consolidated.*.pth` and `params.json`) to a Hugging Face folder, one tensor in memory at a time.

Meta cut each matrix over as many files as the model had GPUs (7B 1, 13B 2, 30B 4, 65B 8), some by rows, some by
columns, and put the norms into every file. wq and wk order the rows of rotary pairs differently from transformers.
Source: docs/originals/minigpt4.md#files-raw-llama; the rules also hold for Llama 2 in the same layout (n_kv_heads).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minigpt4.common.blank_tensors import find_blank_tensors
from minigpt4.common.errors import UserError
from minigpt4.models.language_models.causal_lm import CausalLM, transformers_config
from minigpt4.weights.files.model_folder import ModelFolder
from minigpt4.weights.files.readers import open_weights, read_json
from minigpt4.weights.files.shard_writer import LazyTensor
from minigpt4.weights.files.tensor_file import TensorFile, some_names
from minigpt4.weights.files.vocabulary import Vocabulary, read_sentencepiece
from minigpt4.weights.llama.sidecars import as_json, new_tokenizer_files
from minigpt4.weights.plans.plan import Assignment, ConversionPlan, Ignorable, Rule, Shape, match

JOINED_BY_ROWS = re.compile(r"output\.weight|.*\.(wq|wk|wv|w1|w3)\.weight")
JOINED_BY_COLUMNS = re.compile(r"tok_embeddings\.weight|.*\.(wo|w2)\.weight")
SHARD_NAME = re.compile(r"consolidated\.(\d+)\.pth")
REQUIRED = ("dim", "n_heads", "n_layers", "norm_eps")
"""keys without which params.json says nothing"""
CONTEXT, CONTEXT_OF_LLAMA_2 = 2048, 4096
"""positions that LLaMA and Llama 2 were trained with; params.json does not say"""


@dataclass(frozen=True)
class LlamaParams:
    """What params.json says; `vocab_size` is -1 there and read from the tensors instead."""

    dim: int
    n_heads: int
    n_layers: int
    norm_eps: float
    multiple_of: int = 256
    vocab_size: int = -1
    n_kv_heads: int | None = None
    ffn_dim_multiplier: float | None = None
    rope_theta: float | None = None

    @property
    def num_key_value_heads(self) -> int:
        return self.n_kv_heads or self.n_heads

    @property
    def context(self) -> int:
        """LLaMA has eps 1e-6, but for 65B; Llama 2 has 1e-5, and key-value heads at that size."""
        is_llama_1 = self.norm_eps < 5e-6 or (self.n_layers == 80 and self.n_kv_heads is None)
        return CONTEXT if is_llama_1 else CONTEXT_OF_LLAMA_2


@dataclass(frozen=True)
class RawLlama:
    """An opened folder: its numbers, its tensors joined over the shards, its files."""

    params: LlamaParams
    file: TensorFile
    shards: tuple[Path, ...]

    def num_rows(self, name: str) -> int:
        """Rows of a tensor over all shards; `UserError` if there is no such tensor."""
        if name not in self.file.shapes:
            raise UserError("weights.keys", where=str(self.file.path), what=f"no shard contains '{name}'; they contain "
                            f"{some_names(self.file.names)}", fix="these are not the files of LLaMA")
        return self.file.shapes[name][0]

    @property
    def config(self) -> dict[str, Any]:
        """Values of config.json; widths and rows are the tensors' own."""
        params = self.params
        values = {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "hidden_size": params.dim, "intermediate_size": self.num_rows("layers.0.feed_forward.w1.weight"),
            "num_hidden_layers": params.n_layers, "num_attention_heads": params.n_heads,
            "num_key_value_heads": params.num_key_value_heads, "max_position_embeddings": params.context,
            "rms_norm_eps": params.norm_eps, "vocab_size": self.num_rows("tok_embeddings.weight"),
            "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.02,
            "tie_word_embeddings": False, "use_cache": True,
        }
        return values if params.rope_theta is None else {**values, "rope_theta": params.rope_theta}


def convert_llama(folder: Path, tokenizer: Path | None = None) -> ModelFolder:
    """Plan the Hugging Face folder of raw LLaMA; `write_model_folder` writes it.

    Args:
        folder: holds params.json and consolidated.*.pth.
        tokenizer: tokenizer.model; None = beside the shards, or in the folder above, where Meta put it.

    Raises:
        UserError: a shard is missing, or tensors do not fit params.json.
    """
    raw = open_raw_llama(folder)
    shapes = target_shapes(raw)
    matched = match(raw_llama_plan(raw.params), raw.file.shapes, shapes, where=str(folder))
    tensors = [_lazy(assignment, raw, shapes) for assignment in matched.assignments]
    dtype = tensors[0].dtype
    sidecars, vocabulary, notes = _sidecars(folder, tokenizer, shapes["model.embed_tokens.weight"][0])
    config = {**raw.config, **_ids(vocabulary), "torch_dtype": str(dtype).removeprefix("torch.")}
    ids = {key: value for key, value in config.items() if key.endswith("_token_id")}
    sidecars |= {"config.json": as_json(config), "generation_config.json": as_json(ids)}
    report = [
        f"raw LLaMA {folder}: width {raw.params.dim}, {raw.params.n_layers} layers, {config['vocab_size']} rows, "
        f"{len(raw.shards)} shard{'s' * (len(raw.shards) > 1)}",
        f"{len(tensors)} of {len(shapes)} tensors, {config['torch_dtype']}",
        *(f"left out: {len(names)} ({reason})" for reason, names in matched.ignored.items()), *notes,
    ]
    provenance = {"made_by": "convert-llama", "path": str(folder), "shards": len(raw.shards), "notes": notes}
    return ModelFolder(tensors, sidecars, provenance, [folder / "params.json", *raw.shards], report)


def open_raw_llama(folder: Path) -> RawLlama:
    """Open all shards.

    Raises:
        UserError: no shards, one missing, or shards that do not hold the same tensors.
    """
    params = read_params(folder / "params.json")
    paths = _shard_paths(folder)
    shards = [open_weights(path) for path in paths]
    for shard in shards[1:]:
        if shard.shapes.keys() != shards[0].shapes.keys():
            odd = sorted(shard.shapes.keys() ^ shards[0].shapes.keys())
            raise UserError("weights.keys", where=str(shard.path), what=f"'{odd[0]}' is not in every shard",
                            fix="the shards are of different models: download them again")
    _refuse_missing_shards(folder, params, shards)
    shapes = {name: _joined_shape(name, [shard.shapes[name] for shard in shards]) for name in shards[0].names}
    return RawLlama(params, TensorFile(folder, shapes, shards[0].dtypes, partial(_join, shards)), tuple(paths))


def read_params(path: Path) -> LlamaParams:
    """Read params.json.

    Raises:
        UserError: keys that this layout does not have, or that are missing.
    """
    values = {key: value for key, value in read_json(path).items() if key not in ("max_seq_len", "max_batch_size")}
    known = LlamaParams.__dataclass_fields__
    unknown, missing = sorted(set(values) - set(known)), sorted(set(REQUIRED) - set(values))
    if unknown or missing:
        found = {"is unknown": unknown, "is missing": missing}
        what = "; ".join(f"{', '.join(keys)} {problem}" for problem, keys in found.items() if keys)
        raise UserError("weights.params", where=str(path), what=what,
                        fix="LLaMA and Llama 2 are converted here, no other layout")
    return LlamaParams(**values)


def raw_llama_plan(params: LlamaParams) -> ConversionPlan:
    """Tensors of raw LLaMA, joined, to those of `LlamaForCausalLM`; both ways."""
    block, layer = "layers.{i}.", "model.layers.{i}."
    names = {
        "self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1",
        "mlp.down_proj": "feed_forward.w2", "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    rotary = {"self_attn.q_proj": ("attention.wq", params.n_heads),
              "self_attn.k_proj": ("attention.wk", params.num_key_value_heads)}
    return ConversionPlan(
        "raw LLaMA",
        (
            Rule("model.embed_tokens.weight", ("tok_embeddings.weight",)),
            Rule("model.norm.weight", ("norm.weight",)),
            Rule("lm_head.weight", ("output.weight",)),
            *(Rule(f"{layer}{target}.weight", (f"{block}{source}.weight",)) for target, source in names.items()),
            *(Rule(f"{layer}{target}.weight", (f"{block}{source}.weight",), _halves_apart(n), _pairs_together(n))
              for target, (source, n) in rotary.items()),
        ),
        (Ignorable("rope.freqs", "rotary buffer, computed again on load"),),
    )


def target_shapes(raw: RawLlama) -> dict[str, Shape]:
    """Names and shapes of the transformers model with these numbers, built without memory."""
    model = CausalLM(transformers_config(raw.config), empty=True).model
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _halves_apart(num_heads: int) -> Callable[[list[Tensor], Shape], Tensor]:
    """Rows of each head: pairs (0, 1), (2, 3), … as Meta has them -> all the first, then all the second, as here."""

    def forward(sources: list[Tensor], shape: Shape) -> Tensor:
        rows, columns = shape
        paired = sources[0].view(num_heads, rows // num_heads // 2, 2, columns)
        return paired.transpose(1, 2).reshape(rows, columns)

    return forward


def _pairs_together(num_heads: int) -> Callable[[Tensor], list[Tensor]]:
    """The way back of `_halves_apart`."""

    def backward(target: Tensor) -> list[Tensor]:
        rows, columns = target.shape
        halves = target.view(num_heads, 2, rows // num_heads // 2, columns)
        return [halves.transpose(1, 2).reshape(rows, columns)]

    return backward


def _lazy(assignment: Assignment, raw: RawLlama, shapes: Mapping[str, Shape]) -> LazyTensor:
    (source,) = assignment.sources
    shape = shapes[assignment.target]

    def make() -> Tensor:
        joined = raw.file.load(source)
        for fault in find_blank_tensors([(source, joined)]):
            raise UserError("weights.blank", where=str(raw.file.path), what=str(fault),
                            fix="the file is damaged or a placeholder; take another copy")
        return assignment.rule.forward([joined], shape)

    return LazyTensor(assignment.target, shape, raw.file.dtypes[source], make)


def _shard_paths(folder: Path) -> list[Path]:
    numbered = {int(found[1]): path for path in folder.glob("*.pth") if (found := SHARD_NAME.fullmatch(path.name))}
    if not numbered:
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise UserError("weights.missing_file", where=str(folder), fix="give the folder of one size, as LLaMA/7B",
                        what=f"contains no consolidated.00.pth; it contains: {held}")
    missing = [f"consolidated.{n:02d}.pth" for n in range(max(numbered)) if n not in numbered]
    if missing:
        raise UserError("weights.missing_shard", where=str(folder), what=f"lacks {', '.join(missing)}",
                        fix="download the missing shard")
    return [numbered[number] for number in sorted(numbered)]


def _refuse_missing_shards(folder: Path, params: LlamaParams, shards: Sequence[TensorFile]) -> None:
    """The embedding is cut by columns: its width says how many shards there were."""
    width = shards[0].shapes.get("tok_embeddings.weight", (0, params.dim))[1]
    expected = params.dim // width if width else 0
    if params.dim % width or expected != len(shards):
        raise UserError("weights.missing_shard", where=str(folder),
                        what=f"contains {len(shards)} shards of width {width}; params.json says dim {params.dim}, "
                        f"which makes {params.dim / width:g}",
                        fix="download the missing shard, or the params.json of this size")


def _joined_shape(name: str, shapes: Sequence[Shape]) -> Shape:
    if JOINED_BY_ROWS.fullmatch(name):
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])
    if JOINED_BY_COLUMNS.fullmatch(name):
        return (shapes[0][0], sum(shape[1] for shape in shapes))
    return shapes[0]


def _join(shards: Sequence[TensorFile], name: str) -> Tensor:
    """A tensor over all shards; what is in every shard (norms) is taken from the first."""
    if JOINED_BY_ROWS.fullmatch(name) or JOINED_BY_COLUMNS.fullmatch(name):
        pieces = [shard.load(name) for shard in shards]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1 if JOINED_BY_COLUMNS.fullmatch(name) else 0)
    return shards[0].load(name)


def _sidecars(folder: Path, tokenizer: Path | None, num_rows: int
                ) -> tuple[dict[str, bytes], Vocabulary | None, list[str]]:
    """Tokenizer files, the vocabulary, and notes."""
    places = [tokenizer] if tokenizer else [folder / "tokenizer.model", folder.absolute().parent / "tokenizer.model"]
    found = next((place for place in places if place.exists()), None)
    if tokenizer and not found:
        raise UserError("weights.missing_file", where=str(tokenizer), what="no such file", fix="check --tokenizer")
    if found is None:
        return {}, None, [f"no tokenizer.model in {folder} or above it, so none is written: copy it before use, or "
                          "give --tokenizer"]
    vocabulary = read_sentencepiece(found)
    if len(vocabulary.pieces) > num_rows:
        raise UserError("weights.vocabulary", where=str(found),
                        what=f"has {len(vocabulary.pieces)} pieces, the weights in {folder} {num_rows} rows",
                        fix="take the tokenizer.model that came with these weights")
    return new_tokenizer_files(found.read_bytes(), vocabulary), vocabulary, []


def _ids(vocabulary: Vocabulary | None) -> dict[str, int]:
    special = vocabulary.special_ids if vocabulary else {}
    return {f"{name}_id": special[name] for name in ("bos_token", "eos_token") if name in special}
