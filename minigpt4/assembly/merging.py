"""A bundle with adapters becomes one without: `minigpt4 weights merge`.

The adapters are added to the weights they stand beside, in fp32, and must give the same logits. The sums are stored in
the precision that the weights had in their file: half stays half, so that a merged 7B is 13 GB and not 27. The new
bundle is loaded again, and gets its final name only if its logits differ by no more than that rounding explains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.assembly.probe import probed_logits
from minigpt4.common.errors import UserError
from minigpt4.models.language_models.quantized import holds_quantized
from minigpt4.models.lora import base_state, merge_adapters
from minigpt4.weights.bundles.bundle import Bundle, open_bundle
from minigpt4.weights.bundles.places import newest_bundle
from minigpt4.weights.bundles.seal import atomic_bundle
from minigpt4.weights.files.readers import open_weights
from minigpt4.weights.plans.loading import PartOrigin

TOLERANCE: Mapping[torch.dtype, float] = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}
"""dtype of stored sums -> largest difference of logits, in units of the largest of them where that is above 1. Half
precision: about ten times its unit roundoff (2^-11, 2^-8); only the adapted layers are rounded at all"""

Load = Callable[[Path, Sequence[str]], LoadedModel]
"""(bundle, changes of its config) -> the model on the CPU"""


def merge_bundle(source: Path, target: Path, load: Load, options: Sequence[str] = (), *, in_fp32: bool = False
                 ) -> list[str]:
    """Write a bundle whose adapted parts are stored with their adapters merged into plain weights.

    Args:
        source: bundle or run folder.
        target: new folder.
        load: opens a bundle.
        options: changes of the config, such as new places of parts.
        in_fp32: store the sums in fp32, also where the weights were in half precision.

    Returns:
        lines that say what was written.

    Raises:
        UserError: there are no adapters, the weights below them are quantised, or the logits differ.
    """
    bundle = open_bundle(newest_bundle(source))
    if not bundle.adapted_parts:
        raise UserError("weights.no_adapters", where=str(bundle.folder), what="has no adapters",
                        fix="give a bundle that was trained with LoRA")
    computed_in_fp32 = [*(f"model.{part}.dtype=fp32" for part in bundle.manifest.parts), *options]
    loaded = load(bundle.folder, computed_in_fp32)
    dtypes = {name: torch.float32 if in_fp32 else _dtype_of_files(name, loaded.origins[name])
              for name in bundle.adapted_parts}
    expected = probed_logits(loaded)
    merged = _merged(loaded, bundle)
    exact = _compare(probed_logits(merged), expected, torch.float32, target)
    for name, dtype in dtypes.items():
        merged.model.parts()[name].to(dtype)
    with atomic_bundle(target) as folder:
        merged.save_bundle(folder, resolved_config=_config_without_adapters(bundle, loaded), stage=merged.stage,
                           step=bundle.manifest.step)
        del loaded, merged  # two models of 13B are too much
        coarsest = max(dtypes.values(), key=TOLERANCE.__getitem__)
        stored = _compare(probed_logits(load(folder, computed_in_fp32)), expected, coarsest, target)
    parts = ", ".join(f"{name} ({str(dtype).removeprefix('torch.')})" for name, dtype in dtypes.items())
    return [f"{target}: adapters merged into plain weights of {parts}",
            f"largest difference of logits to the bundle with adapters: {exact:.1e}, as stored {stored:.1e}"]


def _dtype_of_files(name: str, origins: Sequence[PartOrigin]) -> torch.dtype:
    """The half precision that all of a part's weights have in their files, else fp32."""
    found = set()
    for origin in origins:
        prefix = f"{name}." if origin.source == "bundle" else ""
        dtypes = open_weights(origin.place).dtypes
        found |= {dtype for each, dtype in dtypes.items() if each.startswith(prefix) and dtype.is_floating_point}
    return found.pop() if len(found) == 1 and found <= TOLERANCE.keys() else torch.float32


def _compare(logits: Tensor, expected: Tensor, dtype: torch.dtype, target: Path) -> float:
    """The largest difference; `UserError` if it is more than sums of this dtype explain."""
    difference = float((logits - expected).abs().max())
    if difference <= TOLERANCE[dtype] * max(1.0, float(expected.abs().max())):
        return difference
    ours = "this is a bug; keep the bundle with its adapters and please report it"
    raise UserError("weights.merge", where=str(target), what=f"is not written: its logits differ by {difference}",
                    fix=ours if dtype is torch.float32 else "store the sums in full precision: --fp32")


def _merged(loaded: LoadedModel, bundle: Bundle) -> LoadedModel:
    """The same model without adapters; its adapted parts are no longer those of a file."""
    parts, origins = loaded.model.parts(), dict(loaded.origins)
    for name in bundle.adapted_parts:
        if holds_quantized(parts[name]):
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
    for name in bundle.manifest.parts:
        part = config["model"][name]
        part["weights"] = getattr(loaded.config, name).weights
        if name in bundle.adapted_parts:
            part.pop("lora", None)
            part["weights"] = None
    head = f"# adapters merged, from {bundle.config_path}\n"
    return head + yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)
