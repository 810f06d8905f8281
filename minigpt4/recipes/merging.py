"""A bundle with adapters becomes one without: `minigpt4 weights merge`.

The adapters are added to the weights they stand beside, in fp32. The new bundle is loaded again and must give the same
logits before it gets its final name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_folder
from minigpt4.models.language_models.quantized import is_quantized
from minigpt4.models.lora import base_state, merge_adapters
from minigpt4.recipes.loaded import LoadedModel
from minigpt4.weights.bundle import Bundle, newest_bundle, open_bundle
from minigpt4.weights.loading import PartOrigin

TOLERANCE = 1e-5
"""largest difference of logits, in units of the largest of them where that is above 1"""
TEXT_TOKENS = 8
"""random ids that the images are followed by when logits are compared"""

Load = Callable[[Path, Sequence[str]], LoadedModel]
"""(bundle, changes of its config) -> the model on the CPU"""


def merge_bundle(source: Path, target: Path, load: Load, options: Sequence[str] = ()) -> list[str]:
    """Write a bundle whose adapted parts are stored with their adapters merged into plain weights.

    Args:
        source: bundle or run folder.
        target: new folder.
        load: opens a bundle.
        options: changes of the config, such as new places of parts.

    Returns:
        lines that say what was written.

    Raises:
        UserError: there are no adapters, the weights below them are quantised, or the logits differ.
    """
    bundle = open_bundle(newest_bundle(source))
    if not bundle.adapted_parts:
        raise UserError("weights.no_adapters", where=str(bundle.folder), what="has no adapters",
                        fix="give a bundle that was trained with LoRA")
    in_fp32 = [*(f"model.{part}.dtype=fp32" for part in bundle.manifest["parts"]), *options]
    loaded = load(bundle.folder, in_fp32)
    expected = _logits(loaded)
    merged = _merged(loaded, bundle)
    with atomic_folder(target) as folder:
        merged.save_bundle(folder, resolved_config=_config_without_adapters(bundle, loaded), stage=merged.stage,
                           step=bundle.manifest["step"])
        del loaded, merged  # two models of 13B are too much
        difference = float((_logits(load(folder, in_fp32)) - expected).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise UserError("weights.merge", where=str(target),
                            what=f"is not written: its logits differ by {difference}",
                            fix="this is a fault of ours; keep the bundle with its adapters and tell us")
    return [f"{target}: adapters of {', '.join(bundle.adapted_parts)} merged into plain weights (fp32)",
            f"largest difference of logits to the bundle with adapters: {difference:.1e}"]


def _merged(loaded: LoadedModel, bundle: Bundle) -> LoadedModel:
    """The same model without adapters; its adapted parts are no longer those of a file."""
    parts, origins = loaded.model.parts(), dict(loaded.origins)
    for name in bundle.adapted_parts:
        if any(is_quantized(layer) for layer in parts[name].modules()):
            raise UserError(
                "weights.merge", where=f"model.{name}.quantize",
                what="is set, and adapters cannot be merged into quantised weights",
                fix=f"merge them into the full ones: --options model.{name}.quantize=null",
            )
        merge_adapters(parts[name])
        origins[name] = (PartOrigin("bundle", str(bundle.folder), "", len(base_state(parts[name]))),)
    return replace(loaded, origins=origins)


def _config_without_adapters(bundle: Bundle, loaded: LoadedModel) -> str:
    """The bundle's own config, parts where they were found now."""
    config: dict[str, Any] = yaml.safe_load(bundle.config_path.read_text(encoding="utf-8"))
    for name in bundle.manifest["parts"]:
        part = config["model"][name]
        part["weights"] = getattr(loaded.config, name).weights
        if name in bundle.adapted_parts:
            part.pop("lora", None)
            part["weights"] = None
    head = f"# adapters merged, from {bundle.config_path}\n"
    return head + yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)


@torch.no_grad()
def _logits(loaded: LoadedModel) -> Tensor:
    """Logits [1, L, V] of one image of noise and a few random ids, the same ones every time."""
    draw = torch.Generator().manual_seed(0)
    size, model = loaded.image_spec.size, loaded.model
    tokens = model.encode_images(torch.randn(1, 3, size, size, generator=draw))
    ids = torch.randint(loaded.vocab_size, (1, tokens.shape[1] + TEXT_TOKENS), generator=draw)
    slots = torch.full_like(ids, -1)
    slots[0, : tokens.shape[1]] = torch.arange(tokens.shape[1])
    logits: Tensor = model.llm.model(inputs_embeds=model.embed(ids, slots, tokens), use_cache=False).logits
    return logits.float()
