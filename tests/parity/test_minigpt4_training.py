"""Replays of the original runner, its checkpoints, and the batch-accumulation fault (fp32, CPU).

Loss 1e-5, final weights 5e-6, as the recording states. Steps, images, texts, prompts and rates come from the files.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.process_group import Place, ProcessGroup
from minigpt4.conversation.batching import pad
from minigpt4.records.batches import Batch, Output
from minigpt4.records.conversations import caption_conversation
from minigpt4.records.images import ImageRef
from minigpt4.runners.config import RunConfig
from minigpt4.runners.optimizer import DECAY_RULES, build_optimizer
from minigpt4.runners.original_checkpoint import moments_for, read_original_checkpoint
from minigpt4.runners.precision import Precision
from minigpt4.runners.schedules import Schedule, build_schedule
from minigpt4.runners.timetable import Timetable
from minigpt4.runners.update import Update
from minigpt4.runners.window import WindowGradient
from minigpt4.weights.files.readers import read_torch_file
from tests.parity import minigpt4_folder as oracle

LOSS_TOLERANCE = 1e-5
WEIGHT_TOLERANCE = 5e-6
EXACT_ACCUMULATION = [name for name in oracle.case_names("train_") if "accum" not in name]
ACCUMULATION = [name for name in oracle.case_names("train_") if "accum" in name]


class _OneStep:
    """The task of both stages, without data sets: a step is the model's own loss."""

    def output(self, model: torch.nn.Module, batch: Batch) -> Output:
        output: Output = model(batch)
        return output


def _loaded(case: oracle.Case) -> LoadedModel:
    values = dict(case.values["model"])
    if "prompt_path" in values:
        values["prompt_path"] = str(oracle.folder() / values["prompt_path"])
    return oracle.model(**values)


def _run_config(case: oracle.Case) -> RunConfig:
    return RunConfig(lr_sched="linear_warmup_cosine_lr", device="cpu", **case.values["run"])


def _batch(step: dict[str, Any], loaded: LoadedModel) -> Batch:
    renderer = loaded.renderer
    template = loaded.config.prompt_template
    draw = [template.format(prompt) for prompt in renderer.prompts].index(step["prompt"]) if "prompt" in step else 0
    rows = [
        renderer.render(caption_conversation(ImageRef(data=b"", name=image), text), draw)
        for image, text in zip(step["images"], step["texts"], strict=True)
    ]
    batch = pad(rows, pad_token_id=renderer.pad_token_id)
    batch.images = {"pixel_values": oracle.pixels(step["images"])}
    return batch


def _projection(loaded: LoadedModel) -> tuple[torch.Tensor, torch.Tensor]:
    linear = loaded.model.parts()["connector"].projection
    return linear.weight.detach(), linear.bias.detach()


def _compare_weights(loaded: LoadedModel, case: oracle.Case, *, at: str) -> None:
    weight, bias = _projection(loaded)
    for found, name in ((weight, f"w{at}"), (bias, f"b{at}")):
        torch.testing.assert_close(found, case.tensors[name], atol=WEIGHT_TOLERANCE, rtol=0)


@pytest.mark.parametrize("name", EXACT_ACCUMULATION)
def test_replay(name: str) -> None:
    """Our own window, update and schedule give the original's losses, rates and weights."""
    case = oracle.read_case(name)
    loaded, run = _loaded(case), _run_config(case)
    _compare_weights(loaded, case, at="0")
    timetable = Timetable(run.max_epoch, run.iters_per_epoch or 0, run.accum_grad_iters)
    precision = Precision("fp32", "cpu")
    optimizer = build_optimizer(loaded.model, run, DECAY_RULES[loaded.behaviour.decay_rule])
    update = Update(optimizer, build_schedule(run, timetable), precision.scaler(), run.clip_grad_norm)
    gradient = WindowGradient(loaded.model.train(), _OneStep(),  # type: ignore[arg-type]
                              ProcessGroup(Place()), precision,
                              torch.device("cpu"))
    assert timetable.steps == len(case.values["steps"])
    for number, step in enumerate(case.values["steps"]):
        result = gradient([_batch(step, loaded)], update.scaler)
        assert result.loss_sum / result.total_tokens == pytest.approx(step["loss"], abs=LOSS_TOLERANCE), number
        assert update.lr(timetable.at(number)) == pytest.approx(step["lr"], abs=1e-15), number
        update.apply(timetable.at(number))
    _compare_weights(loaded, case, at="_final")


@pytest.mark.parametrize("name", ACCUMULATION)
def test_accumulation_differs_by_the_original_fault_alone(name: str) -> None:
    """Faults 6 and 7 of docs/originals/minigpt4.md#faults, in own lines: losses unscaled, leftovers carried over
    epochs, rate by micro-step.
    """
    case = oracle.read_case(name)
    loaded, run = _loaded(case), _run_config(case)
    iterations = run.iters_per_epoch or 0
    schedule: Schedule = build_schedule(run, Timetable(run.max_epoch, iterations, 1))
    micro_steps = Timetable(run.max_epoch, iterations, 1)
    optimizer = build_optimizer(loaded.model, run, DECAY_RULES[loaded.behaviour.decay_rule])
    loaded.model.train()
    for number, step in enumerate(case.values["steps"]):
        rate = schedule.lr(micro_steps.at(number))
        assert rate == pytest.approx(step["lr"], abs=1e-15)
        output = loaded.model(_batch(step, loaded))
        loss = output.loss_sum / output.num_tokens  # the fault: not divided by the window
        assert loss.item() == pytest.approx(step["loss"], abs=LOSS_TOLERANCE), number
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = rate
        if (number % iterations + 1) % run.accum_grad_iters == 0:  # the fault: leftovers of an epoch stay in .grad
            optimizer.step()
            optimizer.zero_grad()
    _compare_weights(loaded, case, at="_final")


@pytest.mark.parametrize("name", EXACT_ACCUMULATION + ACCUMULATION)
def test_optimizer_groups(name: str) -> None:
    case = oracle.read_case(name)
    loaded, run = _loaded(case), _run_config(case)
    groups = build_optimizer(loaded.model, run, DECAY_RULES[loaded.behaviour.decay_rule]).param_groups
    found = [{"weight_decay": group["weight_decay"], "betas": list(group["betas"]), "eps": group["eps"],
              "n": len(group["params"])} for group in groups]
    assert found == case.values["optimizer_groups"]


def test_checkpoint_of_the_original_runner() -> None:
    """Weights, buffers left out with a reason, optimizer moments, epoch (docs/originals/minigpt4.md#checkpoints)."""
    path = oracle.folder() / "parts" / "runner_checkpoint_stage2.pth"
    loaded = oracle.model(ckpt=str(path))
    content = read_torch_file(path)
    weight, bias = _projection(loaded)
    assert torch.equal(weight, content["model"]["llama_proj.weight"])
    assert torch.equal(bias, content["model"]["llama_proj.bias"])
    holds_buffers = any(not name.startswith("llama_proj.") for name in content["model"])
    assert any("buffer" in line for line in loaded.load_report) == holds_buffers

    taken = read_original_checkpoint(str(path))
    assert taken.epoch == content["epoch"]
    optimizer = build_optimizer(loaded.model, RunConfig(), DECAY_RULES[loaded.behaviour.decay_rule])
    optimizer.load_state_dict(moments_for(optimizer, taken))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = [optimizer.state[parameter]["exp_avg"] for parameter in parameters]
    recorded = [content["optimizer"]["state"][number]["exp_avg"] for number in sorted(content["optimizer"]["state"])]
    assert len(moments) == len(recorded)
    for found, expected in zip(moments, recorded, strict=True):
        assert torch.equal(found, expected)
