"""A Hugging Face Llama folder as conversions see it: tensors without buffers, rows, size, vocabulary, fingerprint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.weights.files.fingerprint import FingerprintHash
from minigpt4.weights.files.readers import open_weights
from minigpt4.weights.files.tensor_file import TensorFile, some_names
from minigpt4.weights.files.vocabulary import Vocabulary, read_vocabulary

BUFFER = re.compile(r".*rotary_emb\.inv_freq")
"""rotary buffers of files from before transformers 4.31: computed again on load, never added or copied"""
VOCABULARY_TENSOR = re.compile(r"(.*\.)?(embed_tokens|lm_head)\.weight")
BLOCK = re.compile(r".*\blayers\.(\d+)\..*")
SIZE_NAMES = {(4096, 32): "7B", (5120, 40): "13B", (6656, 60): "30B", (8192, 80): "65B"}
"""(width, layers) of LLaMA -> what people call it"""
WEIGHT_ENDINGS = (".safetensors", ".bin", ".pth", ".pt")


@dataclass(frozen=True)
class LlamaFolder:
    """An opened folder. `role` (base, delta, model) is what error sentences call it."""

    role: str
    path: Path
    file: TensorFile
    vocabulary: Vocabulary | None

    @property
    def names(self) -> list[str]:
        """Its tensors without rotary buffers."""
        return [name for name in self.file.names if not BUFFER.fullmatch(name)]

    @property
    def num_rows(self) -> int:
        """Rows of the embedding."""
        return self._embedding_shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """(width, number of layers)."""
        blocks = [int(found[1]) for name in self.names if (found := BLOCK.fullmatch(name))]
        return self._embedding_shape[1], max(blocks, default=-1) + 1

    @property
    def _embedding_shape(self) -> tuple[int, ...]:
        return next(shape for name, shape in self.file.shapes.items() if VOCABULARY_TENSOR.fullmatch(name))

    @property
    def fingerprint(self) -> str:
        """Fingerprint of this language model, as bundles that were trained with it record it."""
        collected = FingerprintHash()
        for name in self.names:
            collected.add(f"model.{name}", self.file.load(name))  # `model.`: its place in our CausalLM
        return collected.hexdigest()

    @property
    def weight_files(self) -> list[Path]:
        """The files that hold its tensors."""
        return sorted(path for path in self.path.iterdir() if path.suffix in WEIGHT_ENDINGS)

    def __str__(self) -> str:
        width, layers = self.size
        name = SIZE_NAMES.get(self.size)
        return f"{name + ', ' if name else ''}width {width}, {layers} layers, {self.num_rows} rows"


def open_llama(path: Path, role: str) -> LlamaFolder:
    """Open a folder.

    Raises:
        UserError: it is absent, contains raw LLaMA shards, quantised weights or no Llama, or its tokenizer has more ids
            than rows.
    """
    if not path.is_dir():
        raise UserError("weights.missing_file", where=str(path), what=f"no such folder (the {role})",
                        fix="check the path")
    if any(path.glob("consolidated.*.pth")):
        raise UserError("weights.raw_llama", where=str(path), what=f"(the {role}) contains raw LLaMA shards",
                        fix=f"convert it first: minigpt4 weights convert-llama --input-dir {path} --output-dir NEW")
    folder = LlamaFolder(role, path, open_weights(path), read_vocabulary(path))
    _refuse_no_llama(folder)
    _refuse_few_rows(folder)
    return folder


def _refuse_no_llama(folder: LlamaFolder) -> None:
    where, role = str(folder.path), folder.role
    if not any(VOCABULARY_TENSOR.fullmatch(name) for name in folder.names):
        raise UserError("weights.keys", where=where, fix="give a Llama folder in Hugging Face's layout",
                        what=f"(the {role}) has no 'embed_tokens.weight'; it has {some_names(folder.names)}")
    quantised = [name for name in folder.names if not folder.file.dtypes[name].is_floating_point]
    if quantised:
        raise UserError("weights.quantized", where=where, fix="give the weights in half or full precision",
                        what=f"(the {role}) is quantised: {some_names(quantised, 2)} contains integers")


def _refuse_few_rows(folder: LlamaFolder) -> None:
    vocabulary = folder.vocabulary
    if vocabulary is not None and vocabulary.num_rows > folder.num_rows:
        beyond = ", ".join(vocabulary.names_behind) or "pieces"
        raise UserError("weights.vocabulary", where=str(folder.path),
                        what=f"(the {folder.role}) has {folder.num_rows} rows, its tokenizer {vocabulary.num_rows} ids "
                        f"(up to {beyond}): files of two models are mixed",
                        fix="take weights and tokenizer from the same place")
