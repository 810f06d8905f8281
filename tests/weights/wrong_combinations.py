"""Files that do not belong together, as people bring them: each builder makes a tiny pair and tries to use it.

`python -m tests.weights.wrong_combinations` prints what each of them answers.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from minigpt4.assembly.build import build_model
from minigpt4.common.config.write import plain
from minigpt4.common.errors import UserError
from minigpt4.inference.load import load_model
from minigpt4.weights.llama.deltas import apply_delta
from tests.parity import minigpt4_folder as oracle
from tests.weights.llama_pairs import difference, llama_tensors, tuned, write_folder

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Wrong:
    """One combination: what tries it in an empty folder, the names the sentence must have, and what it says to do."""

    attempt: Callable[[Path], Any]
    names: tuple[str, ...]
    advice: str

    def sentence(self, folder: Path) -> str:
        """What a person is told, paths shortened to what lies below `folder`."""
        try:
            self.attempt(folder)
        except UserError as error:
            return str(error).replace(f"{folder}/", "").replace(f"{oracle.folder()}/", "")
        raise AssertionError("it was not refused")


def _parts(folder: Path) -> Path:
    shutil.copytree(oracle.folder() / "parts", folder / "parts")
    return folder / "parts"


def _load(parts: Path, *, ckpt: str = "minigpt4_tiny.pth") -> None:
    """The recorded model with Q-Former from a folder of copies."""
    config = oracle.config(behaviour="standard", template="vicuna_v0", ckpt=str(parts / ckpt))
    build_model(replace(
        config, vision=replace(config.vision, weights=str(parts / "eva_vit_tiny.pth")),
        resampler=replace(config.resampler, weights=str(parts / "blip2_pretrained_tiny.pth")),
        llm=replace(config.llm, weights=str(parts / "llm")),
    ), device=CPU)


def _change(path: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    content = torch.load(path, weights_only=True)
    edit(content["model"] if "model" in content else content)
    torch.save(content, path)


def v0_delta_on_v1_1(folder: Path) -> None:
    llama = llama_tensors(1)
    base = write_folder(folder / "vicuna-7b-v1.1", tuned(llama, seed=3))
    delta = difference(tuned(llama, extra_rows=1), llama)
    apply_delta(base, write_folder(folder / "vicuna-7b-delta-v0", delta, added=("[PAD]",)))


def projection_13b_on_7b(folder: Path) -> None:
    """Wider than the language model, as 5120 is beside 4096."""
    parts = _parts(folder)
    state = torch.load(parts / "minigpt4_tiny.pth", weights_only=True)["model"]
    wide = {name: torch.cat([value, value[: len(value) // 4] * 1.1]) for name, value in state.items()}
    torch.save({"model": wide}, parts / "pretrained_minigpt4_13b.pth")
    _load(parts, ckpt="pretrained_minigpt4_13b.pth")


def llama2_projection_on_q_former(folder: Path) -> None:
    _load(_parts(folder), ckpt="minigpt4_llama2_tiny.pth")


def renamed_tensor(folder: Path) -> None:
    parts = _parts(folder)
    _change(parts / "blip2_pretrained_tiny.pth", lambda state: state.update(query_token=state.pop("query_tokens")))
    _load(parts)


def missing_shard(folder: Path) -> None:
    parts = _parts(folder)
    (parts / "llm" / "pytorch_model-00002-of-00002.bin").unlink()
    _load(parts)


def truncated_file(folder: Path) -> None:
    parts = _parts(folder)
    path = parts / "eva_vit_tiny.pth"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _load(parts)


def other_tokenizer(folder: Path) -> None:
    """That of Llama-2 (no [PAD]) for a bundle that was trained with that of Vicuna v0."""
    loaded = oracle.model(behaviour="standard", template="vicuna_v0")
    bundle = folder / "bundle"
    bundle.mkdir()
    text = yaml.safe_dump({"model": plain(loaded.config)})
    loaded.save_bundle(bundle, resolved_config=text, stage="stage 1", step=1)
    load_model(bundle, options=[f"model.llm.tokenizer={oracle.folder() / 'parts' / 'llm_llama2'}"])


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code in a weight file was run",)


def pickle_with_code(folder: Path) -> None:
    parts = _parts(folder)
    torch.save({"model": {"llama_proj.weight": _Code()}}, parts / "pretrained_minigpt4.pth")
    _load(parts, ckpt="pretrained_minigpt4.pth")


def _second_shard() -> str:
    index = json.loads((oracle.folder() / "parts" / "llm" / "pytorch_model.bin.index.json").read_text())
    return sorted(set(index["weight_map"].values()))[-1]


WRONG: Mapping[str, Wrong] = {
    "v0 delta on v1.1 base": Wrong(
        v0_delta_on_v1_1, ("vicuna-7b-v1.1", "vicuna-7b-delta-v0"), "take the original LLaMA"),
    "13B projection on 7B": Wrong(
        projection_13b_on_7b, ("pretrained_minigpt4_13b.pth", "llama_proj.weight", "5120 = 13B"),
        "take the file made for this model"),
    "Llama-2 projection on a Q-Former model": Wrong(
        llama2_projection_on_q_former, ("minigpt4_llama2_tiny.pth", "llama_proj.weight", "without one"),
        "take the file made for this model"),
    "renamed tensor": Wrong(
        renamed_tensor, ("blip2_pretrained_tiny.pth", "query_token", "resampler.query_tokens"),
        "take the file that belongs to this model"),
    "missing shard": Wrong(missing_shard, ("parts/llm", _second_shard()), "download the missing shard"),
    "truncated file": Wrong(truncated_file, ("eva_vit_tiny.pth",), "download or copy it again"),
    "other tokenizer": Wrong(
        other_tokenizer, ("bundle", "parts/llm", "parts/llm_llama2"), "leave model.llm.tokenizer out"),
    "pickle with code inside": Wrong(
        pickle_with_code, ("pretrained_minigpt4.pth", "print"), "take a safetensors file"),
}


def main() -> None:
    for name, wrong in WRONG.items():
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write(f"{name}\n  {wrong.sentence(Path(folder))}\n")


if __name__ == "__main__":
    main()
