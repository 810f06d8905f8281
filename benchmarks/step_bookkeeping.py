"""What the host does beside the mathematics of a step, at the number of modules of a real model.

    python benchmarks/step_bookkeeping.py   # writes benchmarks/results/step_bookkeeping.json; status 1 over the bar

39 layers of a vision encoder, 12 of a Q-Former and 32 of a language model, each of them tiny: the window, the update
and the visual path do all that they do at every step, the layers are left out (features are stored, the loss is that of
the image tokens). CPU milliseconds at one thread, for a frozen and for a training language model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))  # runs from a checkout without installation

import torch  # noqa: E402
from torch import nn  # noqa: E402

from benchmarks.machine import machine, versions  # noqa: E402
from benchmarks.train_step import CASES, random_batch, stored  # noqa: E402
from benchmarks.yardstick import LLAMA, spent_by, tokenizer_folder  # noqa: E402
from minigpt4.assembly.build import build_model  # noqa: E402
from minigpt4.common.files import write_json  # noqa: E402
from minigpt4.common.process_group import ProcessGroup  # noqa: E402
from minigpt4.models.language_models.causal_lm import CausalLMConfig  # noqa: E402
from minigpt4.models.resamplers.q_former import QFormerConfig  # noqa: E402
from minigpt4.models.vision.eva_vit import EvaVitConfig  # noqa: E402
from minigpt4.models.vision_language_model import VisionLanguageModel  # noqa: E402
from minigpt4.records.batches import Batch, Output  # noqa: E402
from minigpt4.runners.config import RunConfig  # noqa: E402
from minigpt4.runners.optimizer import build_optimizer, decays_by_dimension  # noqa: E402
from minigpt4.runners.precision import Precision  # noqa: E402
from minigpt4.runners.schedules import build_schedule  # noqa: E402
from minigpt4.runners.timetable import Timetable  # noqa: E402
from minigpt4.runners.update import Update  # noqa: E402
from minigpt4.runners.window import WindowGradient  # noqa: E402
from minigpt4.systems.minigpt4.config import MiniGPT4Config  # noqa: E402

STEPS = 30
BAR = 3.0
"""CPU milliseconds of a step with a frozen language model"""
TINY = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}


class ImageTokensOnly:
    """A task whose loss is that of the image tokens; it leaves the language model's layers out."""

    def output(self, model: nn.Module, batch: Batch) -> Output:
        assert isinstance(model, VisionLanguageModel), "the model of this benchmark"
        return Output(model.encode_images(batch.images).square().sum(), batch.num_supervised)


def tiny_layers(*, llm_trains: bool) -> VisionLanguageModel:
    """A model of real depth and no width."""
    config = MiniGPT4Config(
        model_type="custom", behaviour="standard", template="vicuna_v1",
        vision=EvaVitConfig(image_size=224, num_hidden_layers=39, **TINY),
        resampler=QFormerConfig(num_query_tokens=32, cross_attention_frequency=2, num_hidden_layers=12, **TINY),
        llm=CausalLMConfig(random={**LLAMA, **TINY, "num_hidden_layers": 32, "num_key_value_heads": 2},
                           tokenizer=str(tokenizer_folder()), freeze=not llm_trains))
    return build_model(config, device=torch.device("cpu"), seed=0).model


def milliseconds_of_a_step(*, llm_trains: bool) -> float:
    """Median CPU time of window, update and what the runner asks before them."""
    model, precision = tiny_layers(llm_trains=llm_trains), Precision("fp32", "cpu")
    run, timetable = RunConfig(device="cpu"), Timetable(1, STEPS + 1, 1)
    optimizer = build_optimizer(model, run, decays_by_dimension)
    update = Update(optimizer, build_schedule(run, timetable), precision.scaler(), None)
    task: Any = ImageTokensOnly()
    gradient = WindowGradient(model, task, ProcessGroup(), precision, torch.device("cpu"))
    batch = stored(random_batch(CASES[0]), model)
    batch.prepared_row = batch.row

    def step(number: int) -> None:
        if not model.training:
            model.train()
        gradient([batch], update.scaler)
        update.apply(timetable.at(number))

    step(0)
    return 1000 * median(spent_by(lambda number=number: step(number)).cpu_seconds  # type: ignore[misc]
                         for number in range(1, STEPS + 1))


def main() -> int:
    parser = argparse.ArgumentParser(description="Host work of a training step at a real number of modules.")
    default = PROJECT / "benchmarks" / "results" / "step_bookkeeping.json"
    parser.add_argument("--output", type=Path, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frozen, trains = (round(milliseconds_of_a_step(llm_trains=each), 2) for each in (False, True))
    write_json(arguments.output, {"bar": BAR, "cpu_milliseconds": {"llm_frozen": frozen, "llm_trains": trains},
                                  "machine": machine(), "versions": versions("torch", "transformers")})
    print(f"host work of a step: {frozen} CPU-ms with a frozen language model, {trains} where it trains (its AdamW "
          "and the gradients of zero included)")
    return 0 if frozen <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
