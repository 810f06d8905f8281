"""A training step of stage 1 beside transformers' own, same weights, same batch, in turns.

    python benchmarks/train_step.py   # writes benchmarks/results/train_step.json; status 1 where a bar is missed

Variants: `transformers` (`Blip2ForConditionalGeneration`, all frozen but its projection), `minigpt4` (the
step of our runner), `minigpt4_stored` (the same from stored Q-Former outputs).
CPU seconds at one thread; wall time at two.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.machine import machine, matmul_rate, versions  # noqa: E402
from benchmarks.yardstick import (  # noqa: E402
    IMAGE_TOKEN_ID,
    ROUNDS,
    in_turns,
    median_ratio,
    our_model,
    peak_mib,
    peer_model,
)
from minigpt4.common.files import write_json  # noqa: E402
from minigpt4.models.vision_language_model import VisionLanguageModel  # noqa: E402
from minigpt4.records.batches import IGNORED_LABEL, Batch  # noqa: E402

SAMPLES, IMAGE_TOKENS, SHORTEST, LONGEST = 8, 32, 24, 56
LEARNING_RATE = 1e-4
BAR = 0.97
"""least samples/s of ours, as a share of the peer's"""

Step = Callable[[], Tensor]
"""one forward, backward and update; returns the gradient of the projection"""


@dataclass(frozen=True)
class Variant:
    """A way to do the step."""

    name: str
    make: Callable[[], Step]


def random_batch() -> Batch:
    """BOS, 32 image places, a caption of 24 to 56 random words; padded to the longest."""
    generator = torch.Generator().manual_seed(0)
    length = 1 + IMAGE_TOKENS + LONGEST
    ids = torch.randint(3, IMAGE_TOKEN_ID, (SAMPLES, length), generator=generator)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (SAMPLES,), generator=generator)
    lengths[0] = LONGEST
    place = torch.arange(length)
    real = place < 1 + IMAGE_TOKENS + lengths.unsqueeze(1)
    is_image = (place > 0) & (place <= IMAGE_TOKENS)
    rows = torch.arange(SAMPLES).unsqueeze(1) * IMAGE_TOKENS + place - 1
    ids[:, 0] = 1
    return Batch(
        input_ids=torch.where(real, ids, 0),
        attention_mask=real.long(),
        labels=torch.where(real & (place > IMAGE_TOKENS), ids, IGNORED_LABEL),
        slots=torch.where(is_image.expand(SAMPLES, -1), rows, -1),
        images={"pixel_values": torch.randn(SAMPLES, 3, 224, 224, generator=generator)},
    )


def our_step(model: VisionLanguageModel, batch: Batch) -> Step:
    """The step our runner makes: summed loss over the supervised tokens of the window, then AdamW."""
    weight = model.parts()["connector"].projection.weight
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)

    def step() -> Tensor:
        output = model(batch)
        (output.loss_sum / output.num_tokens).backward()
        return _updated(optimizer, weight)

    return step


def peer_step(peer: Any, batch: Batch) -> Step:
    """transformers' forward with labels, and AdamW."""
    ids = torch.where(batch.slots >= 0, IMAGE_TOKEN_ID, batch.input_ids)
    optimizer = torch.optim.AdamW([p for p in peer.parameters() if p.requires_grad], lr=LEARNING_RATE)

    def step() -> Tensor:
        peer(pixel_values=batch.images["pixel_values"], input_ids=ids, attention_mask=batch.attention_mask,
             labels=batch.labels).loss.backward()
        return _updated(optimizer, peer.language_projection.weight)

    return step


def _updated(optimizer: torch.optim.Optimizer, weight: Any) -> Tensor:
    gradient = weight.grad.clone()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return gradient


def stored(batch: Batch, model: VisionLanguageModel) -> Batch:
    """The batch with what the frozen stages give for its images instead of their pixels."""
    path = model.visual_path
    assert path is not None
    wanted = path.frozen_values()
    with torch.no_grad():
        values = path.values(batch.images, wanted)
    return replace(batch, images={name: values[name] for name in wanted})


def variants() -> list[Variant]:
    batch = random_batch()
    return [
        Variant("transformers", lambda: peer_step(peer_model(our_model()), batch)),
        Variant("minigpt4", lambda: our_step(our_model().model.train(), batch)),
        Variant("minigpt4_stored", lambda: _stored_step(batch)),
    ]


def _stored_step(batch: Batch) -> Step:
    model = our_model().model.train()
    return our_step(model, stored(batch, model))


def flops_of(step: Step) -> float:
    """Floating-point operations of one step, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def measure() -> dict[str, Any]:
    """All figures, from one process; peak memory from one process a variant."""
    torch.set_num_threads(1)
    steps = {variant.name: variant.make() for variant in variants()}
    gradients = {name: step() for name, step in steps.items()}
    one = in_turns(steps)
    rate = matmul_rate(672, 512, 1376)
    torch.set_num_threads(2)
    two = in_turns(steps)
    torch.set_num_threads(1)
    peer = [spent.cpu_seconds for spent in one["transformers"]]
    figures = {}
    for name in steps:
        cpu = [spent.cpu_seconds for spent in one[name]]
        wall = [spent.wall_seconds for spent in two[name]]
        gflops = flops_of(steps[name]) * 1e-9
        figures[name] = {
            "cpu_seconds": round(median(cpu), 4), "samples_per_cpu_second": round(SAMPLES / median(cpu), 3),
            "samples_per_second_2_threads": round(SAMPLES / median(wall), 3),
            "speed_ratio": round(median_ratio(peer, cpu), 4),
            "speed_ratio_2_threads": round(
                median_ratio([spent.wall_seconds for spent in two["transformers"]], wall), 4),
            "gflop": round(gflops, 1), "share_of_matmul_rate": round(gflops / median(cpu) / rate, 3),
            "peak_mib": peak_of(name),
            "gradient_difference": float((gradients[name] - gradients["transformers"]).norm()
                                         / gradients["transformers"].norm()),
        }
    return {"rounds": ROUNDS, "matmul_gflop_per_cpu_second": round(rate, 1), "machine": machine(),
            "versions": versions("torch", "transformers"), "variants": figures}


def peak_of(name: str) -> float:
    """Peak memory of three steps of one variant in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--peak-of", name], capture_output=True, text=True, check=True)
    return round(float(done.stdout.split()[-1]), 0)


def main() -> int:
    parser = argparse.ArgumentParser(description="A training step beside transformers' own.")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "train_step.json")
    parser.add_argument("--peak-of", metavar="VARIANT", help="only: three steps of a variant, print its peak in MiB")
    arguments = parser.parse_args()
    if arguments.peak_of:
        step = next(variant for variant in variants() if variant.name == arguments.peak_of).make()
        for _ in range(3):
            step()
        print(peak_mib())
        return 0
    results = measure()
    write_json(arguments.output, results)
    for name, figures in results["variants"].items():
        print(f"{name}: {figures['samples_per_cpu_second']} samples per CPU-second, "
              f"{figures['speed_ratio']} x transformers, peak {figures['peak_mib']:.0f} MiB, "
              f"gradient differs by {figures['gradient_difference']:.1e}")
    return 0 if results["variants"]["minigpt4"]["speed_ratio"] >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
