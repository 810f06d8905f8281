"""Training steps beside transformers' own, same weights, same batch, in turns.

    python benchmarks/train_step.py                    # all cases; writes benchmarks/results/train_step.json
    python benchmarks/train_step.py --cases stage1 one_sample   # some; status 1 where a bar is missed

Variants: `transformers` (`Blip2ForConditionalGeneration`, frozen where ours is), `minigpt4` (the step of our runner),
`minigpt4_stored` (the same from stored Q-Former outputs), `minigpt4_bf16_stored` (the frozen language model in bf16
too, which pays on processors that multiply bf16), `minigpt4_padded` (ours in padded rows).
CPU seconds at one thread; wall time at two for the first case.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
    VOCABULARY,
    in_turns,
    median_ratio,
    our_model,
    peak_mib,
    peer_model,
)
from minigpt4.assembly.loaded import LoadedModel  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402
from minigpt4.models.vision_language_model import VisionLanguageModel  # noqa: E402
from minigpt4.records.batches import IGNORED_LABEL, Batch  # noqa: E402

IMAGE_TOKENS = 32
LEARNING_RATE = 1e-4
PEER, OURS, STORED = "transformers", "minigpt4", "minigpt4_stored"
HALF, PADDED = "minigpt4_bf16_stored", "minigpt4_padded"
MEMORY_BAR = 0.75
"""most peak memory of our step from stored features and bf16 weights, as a share of the peer's"""

Step = Callable[[], tuple[float, Tensor]]
"""one forward, backward and update; returns the mean loss and the gradient of the projection"""


@dataclass(frozen=True)
class Case:
    """A size: samples of an image, an instruction that is not learned, and an answer of random length.

    `bars` are the least speed of a variant in units of the first one's.
    """

    name: str
    samples: int
    shortest: int
    longest: int
    instruction: int = 0
    image_size: int = 224
    vocabulary: int = VOCABULARY
    llm_trains: bool = False
    variants: tuple[str, ...] = (PEER, OURS, STORED)
    bars: Mapping[str, float] = field(default_factory=dict)

    def model(self) -> LoadedModel:
        return our_model(image_size=self.image_size, vocabulary=self.vocabulary, llm_trains=self.llm_trains)


CASES = (
    Case("stage1", 8, 24, 56, variants=(PEER, OURS, STORED, HALF), bars={OURS: 1.0, STORED: 1.7}),
    Case("stage1_short", 8, 8, 24, variants=(PEER, OURS, STORED, HALF), bars={OURS: 1.0}),
    Case("stage2", 4, 1, 160, instruction=40, vocabulary=32000, variants=(PEER, OURS, STORED, HALF),
         bars={OURS: 1.0, STORED: 1.45}),
    Case("one_sample", 1, 24, 56, bars={OURS: 0.98}),
    Case("two_samples", 2, 24, 56, bars={OURS: 1.0}),
    Case("many_samples", 32, 24, 56, variants=(PEER, OURS), bars={OURS: 1.0}),
    Case("large_images", 2, 24, 56, image_size=448, bars={OURS: 0.98}),
    Case("large_vocabulary", 4, 24, 56, vocabulary=32000, bars={OURS: 1.15}),
    Case("whole_language_model", 4, 24, 56, llm_trains=True, variants=(PEER, OURS), bars={OURS: 1.0}),
    Case("unequal_lengths", 8, 8, 400, variants=(PADDED, STORED), bars={STORED: 1.5}),
)


def random_batch(case: Case = CASES[0]) -> Batch:
    """BOS, 32 image places, an instruction, an answer; padded to the longest, of which there is one."""
    generator = torch.Generator().manual_seed(0)
    begin = 1 + IMAGE_TOKENS + case.instruction
    length = begin + case.longest
    ids = torch.randint(3, IMAGE_TOKEN_ID, (case.samples, length), generator=generator)
    lengths = torch.randint(case.shortest, case.longest + 1, (case.samples,), generator=generator)
    lengths[0] = case.longest
    place = torch.arange(length)
    real = place < begin + lengths.unsqueeze(1)
    is_image = (place > 0) & (place <= IMAGE_TOKENS)
    rows = torch.arange(case.samples).unsqueeze(1) * IMAGE_TOKENS + place - 1
    ids[:, 0] = 1
    pixels = torch.randn(case.samples, 3, case.image_size, case.image_size, generator=generator)
    return Batch(
        input_ids=torch.where(real, ids, 0),
        attention_mask=real.long(),
        labels=torch.where(real & (place >= begin), ids, IGNORED_LABEL),
        slots=torch.where(is_image.expand(case.samples, -1), rows, -1),
        images={"pixel_values": pixels},
    )


def our_step(model: VisionLanguageModel, batch: Batch, *, padded: bool = False) -> Step:
    """The step our runner makes: summed loss over the supervised tokens of the window, then AdamW."""
    weight = model.parts()["connector"].projection.weight
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)
    batch = batch if padded else batch.to("cpu")  # as the loader hands it on: with its row

    def step() -> tuple[float, Tensor]:
        output = model.in_padded_rows(batch) if padded else model(batch)
        loss = output.loss_sum / output.num_tokens
        loss.backward()
        return loss.item(), _updated(optimizer, weight)

    return step


def peer_step(peer: Any, batch: Batch) -> Step:
    """transformers' forward with labels, and AdamW."""
    ids = torch.where(batch.slots >= 0, IMAGE_TOKEN_ID, batch.input_ids)
    optimizer = torch.optim.AdamW([p for p in peer.parameters() if p.requires_grad], lr=LEARNING_RATE)

    def step() -> tuple[float, Tensor]:
        loss = peer(pixel_values=batch.images["pixel_values"], input_ids=ids, attention_mask=batch.attention_mask,
                    labels=batch.labels).loss
        loss.backward()
        return loss.item(), _updated(optimizer, peer.language_projection.weight)

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


def step_of(variant: str, case: Case) -> Step:
    """A variant of a case, ready to be taken in turns with the others."""
    batch = random_batch(case)
    if variant == PEER:
        return peer_step(peer_model(case.model()), batch)
    model = case.model().model.train()
    if variant != OURS:
        batch = stored(batch, model)
    if variant == HALF:
        model.llm.to(torch.bfloat16)
    return our_step(model, batch, padded=variant == PADDED)


def flops_of(step: Step) -> float:
    """Floating-point operations of one step, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def measure(case: Case, rate: float) -> dict[str, Any]:
    """The figures of a case, each variant beside its first."""
    first = case.variants[0]
    steps = {variant: step_of(variant, case) for variant in case.variants}
    said = {name: step() for name, step in steps.items()}
    taken = {name: [spent.cpu_seconds for spent in each] for name, each in in_turns(steps).items()}
    loss, gradient = said[first]
    figures = {}
    for name, cpu in taken.items():
        gflops = flops_of(steps[name]) * 1e-9
        figures[name] = {
            "cpu_seconds": round(median(cpu), 4), "samples_per_cpu_second": round(case.samples / median(cpu), 3),
            "speed_ratio": round(median_ratio(taken[first], cpu), 4),
            "gflop": round(gflops, 1), "share_of_matmul_rate": round(gflops / median(cpu) / rate, 3),
            "loss_difference": abs(said[name][0] - loss) / abs(loss),
            "gradient_difference": float((said[name][1] - gradient).norm() / gradient.norm()),
            "gradient_cosine": round(float(torch.cosine_similarity(
                said[name][1].flatten().double(), gradient.flatten().double(), dim=0)), 6),
        }
    return {"samples": case.samples, "answer": [case.shortest, case.longest], "instruction": case.instruction,
            "image_size": case.image_size, "vocabulary": case.vocabulary, "bars": dict(case.bars),
            "variants": figures}


def with_wall_time_and_memory(case: Case, figures: dict[str, Any]) -> None:
    """Wall time at two threads in the same turns, and peak memory from one process a variant."""
    torch.set_num_threads(2)
    turns = in_turns({variant: step_of(variant, case) for variant in case.variants})
    torch.set_num_threads(1)
    wall = {name: [spent.wall_seconds for spent in each] for name, each in turns.items()}
    for name, seconds in wall.items():
        figures["variants"][name] |= {
            "samples_per_second_2_threads": round(case.samples / median(seconds), 3),
            "speed_ratio_2_threads": round(median_ratio(wall[case.variants[0]], seconds), 4),
            "peak_mib": peak_of(name)}


def peak_of(variant: str) -> float:
    """Peak memory of three steps of one variant in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--peak-of", variant], capture_output=True, text=True, check=True)
    return round(float(done.stdout.split()[-1]), 0)


def missed(results: Mapping[str, Any]) -> list[str]:
    """Sentences for the bars that were not reached."""
    found = [f"{case}: {variant} is {figures['variants'][variant]['speed_ratio']} x, the bar is {bar}"
             for case, figures in results["cases"].items() for variant, bar in figures["bars"].items()
             if figures["variants"][variant]["speed_ratio"] < bar]
    memory = {name: each["peak_mib"] for figures in results["cases"].values()
              for name, each in figures["variants"].items() if "peak_mib" in each}
    if memory and memory[HALF] > MEMORY_BAR * memory[PEER]:
        found.append(f"memory: {memory[HALF]:.0f} MiB of {memory[PEER]:.0f}, the bar is {MEMORY_BAR}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Training steps beside transformers' own.")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "train_step.json")
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], help="only these")
    parser.add_argument("--peak-of", metavar="VARIANT", help="only: three steps of a variant, print its peak in MiB")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak_of:
        step = step_of(arguments.peak_of, CASES[0])
        for _ in range(3):
            step()
        print(peak_mib())
        return 0
    rate = matmul_rate(672, 512, 1376)
    results: dict[str, Any] = {
        "rounds": ROUNDS, "matmul_gflop_per_cpu_second": round(rate, 1), "machine": machine(),
        "versions": versions("torch", "transformers"), "cases": {}}
    for case in CASES:
        if arguments.cases and case.name not in arguments.cases:
            continue
        figures = results["cases"][case.name] = measure(case, rate)
        if case is CASES[0]:
            with_wall_time_and_memory(case, figures)
        for name, each in figures["variants"].items():
            print(f"{case.name:22} {name:22} {each['cpu_seconds']:8.3f} CPU-s {each['speed_ratio']:6.2f} x, loss "
                  f"{each['loss_difference']:.1e}, gradient {each['gradient_difference']:.1e}", flush=True)
        if not arguments.cases:
            write_json(arguments.output, results)  # after every case: what was measured is not lost
    for sentence in missed(results):
        print(sentence)
    return 1 if missed(results) else 0


if __name__ == "__main__":
    sys.exit(main())
