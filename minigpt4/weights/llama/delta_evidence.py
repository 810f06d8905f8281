"""What the values reveal about a base and a delta of equal shapes: was this delta taken from this base?

Shapes cannot tell LLaMA from Llama 2 or from a merged Vicuna. Values can, each time on a sample:
norms   a delta's norm weights are small beside the base's, else the two are swapped; nearly the base's own are those of
        a whole model.
back    in half precision, `(base + delta) - base` gives the delta back if it was taken from this base. With a relative
        or a stranger as base, 2 % to 30 % of the values come back changed.
The second holds only for deltas that come from a subtraction of half-precision weights, which leaves their last bits
empty; of others nothing is concluded, and that is said.
"""

from __future__ import annotations

import torch
from torch import Tensor

from minigpt4.common.errors import UserError
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.llama.folder import LlamaFolder

SAMPLED_MATRICES, SAMPLED_VALUES = 8, 1 << 16
MAX_CHANGED = 0.005
"""share of values that may come back changed; measured: 1 in 30 000 with right bases, 1 in 50 with the nearest wrong"""
MAX_ODD_BITS = 0.35
"""share of values whose last bit is set: 1/2 in plain numbers; measured in differences: at most 0.14"""
SWAPPED_FACTOR = 4.0
"""how much larger than the base's a delta's norm weights must be to call the two swapped (real pairs: over 10)"""
WHOLE_MODEL = 0.5
"""distance of norm weights, relative to the base's, under which a "delta" is a whole model of its own"""


def refuse_by_values(base: LlamaFolder, delta: LlamaFolder) -> list[str]:
    """Compare samples of a base and a delta that fit by names and shapes.

    Returns:
        a line for the report.

    Raises:
        UserError: swapped, no delta at all, or a delta of another base.
    """
    _compare_norms(base, delta)
    odd, changed = _round_trip(base.file, delta.file, [n for n in delta.names if len(delta.file.shapes[n]) == 2])
    if odd > MAX_ODD_BITS:
        return ["whether the delta was made from this base cannot be seen: it is not a difference of half-precision "
                "weights"]
    if changed > MAX_CHANGED:
        raise UserError(
            "weights.delta_of_another_base", where=str(delta.path),
            what=f"(the delta) was not made from the base {base.path}: taken out of their sum again, {changed:.1%} of "
            "its values come back changed (right pairs: under 0.01 %); the base is another LLaMA, or a Vicuna already",
            fix="take the original LLaMA (not Llama 2, not Vicuna) as --base, or insist with --allow-other-base",
        )
    return [f"the delta was made from this base: taken out of the sum again, {1 - changed:.2%} of its values come back"]


def _compare_norms(base: LlamaFolder, delta: LlamaFolder) -> None:
    names = [name for name in delta.names if len(delta.file.shapes[name]) == 1]
    if not names:
        return
    mine, theirs = (torch.cat([one.file.load(name).float() for name in names]) for one in (base, delta))
    size, other_size = _root_mean_square(mine), _root_mean_square(theirs)
    if other_size > SWAPPED_FACTOR * size:
        raise UserError(
            "weights.delta_swapped", where=str(delta.path), fix="swap --base and --delta",
            what=f"(the delta) has norm weights of {other_size:.3g}, the base {base.path} of {size:.3g}; a delta's are "
            "the small ones",
        )
    if _root_mean_square(mine - theirs) < WHOLE_MODEL * size:
        raise UserError(
            "weights.delta_is_whole", where=str(delta.path), fix="use it as it is, without apply-delta",
            what=f"(the delta) is a whole model, not a delta: its norm weights are close to the base's ({base.path})",
        )


def _root_mean_square(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


def _round_trip(base: TensorFile, delta: TensorFile, names: list[str]) -> tuple[float, float]:
    """Shares of values of the delta with their last bit set, and of values that do not come back."""
    odd, changed, count = 0, 0, 0
    step = max(1, len(names) // SAMPLED_MATRICES)
    for name in names[::step][: 2 * SAMPLED_MATRICES]:
        added = delta.load(name).reshape(-1)[:SAMPLED_VALUES]
        start = base.load(name).reshape(-1)[:SAMPLED_VALUES].to(added.dtype)
        added = added[: len(start)]
        said = added[added != 0]
        odd += int(_last_bits(said).sum())
        changed += int(((start + added) - start != added).sum())
        count += len(said)
    return odd / max(count, 1), changed / max(count, 1)


def _last_bits(values: Tensor) -> Tensor:
    words = {2: torch.int16, 4: torch.int32, 8: torch.int64}[values.dtype.itemsize]
    return values.contiguous().view(words) & 1
