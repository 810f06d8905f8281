"""Write a bundle: what no other file provides, and a manifest that says what every part is.

Tensors are copied to the host, hashed and written one at a time, in files of a limited size, so that writing costs the
memory of the largest tensor. A tied tensor is stored under each of its names.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from minigpt4.common.errors import UserError
from minigpt4.common.files import write_json
from minigpt4.models.lora import base_is_frozen, base_state
from minigpt4.weights.bundles.adapters import PREFIX, adapter_tensors, manifest_entry
from minigpt4.weights.bundles.bundle import (
    CONFIG,
    LLM_CONFIG,
    PROMPTS,
    TOKENIZER,
    TOKENIZER_FILES,
    Bundle,
    is_not_whole,
    open_bundle,
)
from minigpt4.weights.bundles.licences import UNKNOWN, joined, licence_of
from minigpt4.weights.bundles.manifest import FORMAT
from minigpt4.weights.bundles.places import MANIFEST, is_bundle
from minigpt4.weights.files.fingerprint import FingerprintHash
from minigpt4.weights.files.readers import open_weights
from minigpt4.weights.files.shard_writer import SHARD_BYTES, LazyTensor, lazy_copy, take_part, write_tensors
from minigpt4.weights.plans.loading import PartOrigin


@dataclass(frozen=True)
class BundleContents:
    """What goes into a bundle.

    Args:
        parts: name -> module.
        origins: where each part came from.
        tokenizer_folder: its files are copied.
        prompts: prompts of training, one a line.
        llm_config: config.json values of the language model.
        about: what the manifest says of the whole model (template, image, tokenizer, …).
    """

    parts: Mapping[str, nn.Module]
    origins: Mapping[str, tuple[PartOrigin, ...]]
    tokenizer_folder: Path
    prompts: Sequence[str]
    llm_config: Mapping[str, Any]
    about: Mapping[str, Any]

    def write(self, folder: Path, *, resolved_config: str, stage: str, step: int, shard_bytes: int = SHARD_BYTES
              ) -> None:
        """Write all files, one tensor in memory at a time.

        Args:
            folder: exists; the caller makes it whole or absent.
            resolved_config: its config.yaml.
            stage: job_name of the run, or what else it is.
            step: optimizer steps done.
            shard_bytes: a file of tensors grows up to this size.
        """
        stored = [name for name, part in self.parts.items() if self._is_stored(name, part)]
        hashes: dict[str, FingerprintHash] = defaultdict(FingerprintHash)
        write_tensors(folder, self._tensors(hashes), shard_bytes)
        entries = {name: {
            "stored": name in stored,
            "frozen": base_is_frozen(part),
            "identity": hashes[name].hexdigest() if name in stored else "",
            "origins": [] if name in stored else [origin.as_stored() for origin in self.origins[name]],
            "licence": _licence(name, self.origins[name]),
            **manifest_entry(part, hashes[f"{PREFIX}{name}"]),
        } for name, part in self.parts.items()}
        (folder / CONFIG).write_text(resolved_config, encoding="utf-8")
        self._write_sidecars(folder, entries)
        write_json(folder / MANIFEST, {"format": FORMAT, "stage": stage, "step": step, **self.about, "parts": entries})

    def take_part(self, shard_bytes: int = SHARD_BYTES) -> None:
        """What the other ranks of a run do while the first writes: each holds a part of the tensors."""
        take_part(self._tensors(defaultdict(FingerprintHash)), shard_bytes)

    def _tensors(self, hashes: Mapping[str, FingerprintHash]) -> list[LazyTensor]:
        """Adapters and stored parts; the fingerprint of each `prefix.` is collected as they are made."""
        adapters = [_hashed(tensor, f"{PREFIX}{name}", hashes) for name, part in self.parts.items()
                    for tensor in adapter_tensors(name, part)]
        return adapters + [_hashed(tensor, name, hashes) for name, part in self.parts.items()
                           if self._is_stored(name, part) for tensor in self._tensors_of(name, part)]

    def _write_sidecars(self, folder: Path, entries: Mapping[str, Any]) -> None:
        (folder / TOKENIZER).mkdir(exist_ok=True)
        for name in TOKENIZER_FILES:
            if (self.tokenizer_folder / name).exists():
                shutil.copyfile(self.tokenizer_folder / name, folder / TOKENIZER / name)
        if self.prompts:
            (folder / PROMPTS).write_text("\n".join(self.prompts) + "\n", encoding="utf-8")
        if entries["llm"]["stored"]:
            write_json(folder / LLM_CONFIG, dict(self.llm_config))

    def _tensors_of(self, name: str, part: nn.Module) -> list[LazyTensor]:
        """What a part keeps, without adapters; one that is not whole in memory as its bundle has it."""
        if not is_not_whole(part):
            return [lazy_copy(f"{name}.{key}", value) for key, value in base_state(part).items()]
        places = [origin.place for origin in self.origins[name] if origin.source == "bundle"]
        if not places:
            raise UserError("bundle.quantized", where=f"model.{name}.quantize", fix=f"set model.{name}.quantize=null",
                            what="is set for weights that are in no file, so there is nothing whole to store")
        file = open_weights(places[0])
        return [LazyTensor(key, file.shapes[key], file.dtypes[key], partial(file.load, key))
                for key in file.names if key.startswith(f"{name}.")]

    def _is_stored(self, name: str, part: nn.Module) -> bool:
        if not any(True for _ in part.state_dict()):
            return False
        return not base_is_frozen(part) or any(origin.source != "file" for origin in self.origins[name])


def _licence(name: str, origins: Sequence[PartOrigin]) -> str | None:
    """What the files beside a part's weights state, also where it was trained further; None for one of random start."""
    stated = []
    for origin in origins:
        if is_bundle(origin.place) and origin.source == "bundle":
            stated.append(_stated(open_bundle(origin.place), name))
        elif origin.place:
            stated.append(licence_of(origin.place))
    return joined(licence for licence in stated if licence) or None


def _stated(bundle: Bundle, part: str) -> str | None:
    entry = bundle.manifest.parts.get(part)
    return entry.licence if entry else UNKNOWN


def _hashed(tensor: LazyTensor, prefix: str, collected: Mapping[str, FingerprintHash]) -> LazyTensor:
    """The same tensor, hashed for the fingerprint of what is named so when it is made."""
    def make() -> Tensor:
        made = tensor.make()
        collected[prefix].add(tensor.name.removeprefix(f"{prefix}."), made)
        return made

    return replace(tensor, make=make)
