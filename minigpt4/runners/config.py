"""The `run:` section of a YAML: original keys where the original had them, ours beside them.

Source: docs/originals/minigpt4.md#run-keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from minigpt4.common.config.fields import check_values
from minigpt4.common.config.ranges import (
    Chance,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Processes,
    Range,
    Seed,
    Share,
    Threads,
)
from minigpt4.common.errors import UserError, UserErrors, nearest
from minigpt4.common.registry import schedules, tasks
from minigpt4.records.knowledge import Knowledge


@dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """Fixed images and questions, answered before training, now and then, and at the end."""

    file: str = field(metadata={"path": "file"})
    """JSONL: {"image": …, "question": …, "answer": what is right}; images relative to the file"""
    every: PositiveInt = 100
    """optimizer steps between rounds"""
    template: str | None = None
    """conversation template they are asked in; null = the chat's"""
    max_new_tokens: PositiveInt = 60
    """tokens of an answer at most"""


@dataclass(frozen=True, kw_only=True)
class FsdpConfig:
    """How several processes share the weights where run.parallel is fsdp."""

    offload: bool = False
    """keep each process' part of weights and optimizer in host memory (slower)"""
    reshard_after_forward: bool = True
    """drop the gathered weights of a layer after its forward pass; False = keep them for the backward pass"""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How a run goes: task, optimizer, schedule, length, precision, what is measured and kept."""

    task: str = field(default="image_text_pretrain", metadata={"names": tasks})
    """what a step is: a registered task"""
    runner: str = "runner_base"
    """the loop: a registered runner"""

    lr_sched: str = field(default="warmup_cosine", metadata={"names": schedules})
    """linear_warmup_cosine_lr, linear_warmup_step_lr (exactly the original's), corrected: warmup_cosine, warmup_step"""
    init_lr: PositiveFloat = 1e-4
    """learning rate after warm-up"""
    min_lr: NonNegativeFloat = 0.0
    """learning rate at the end"""
    warmup_lr: Annotated[float, Range(-1)] = -1.0
    """learning rate of step 0; -1 = init_lr, as in the original"""
    warmup_steps: NonNegativeInt = 0
    """optimizer steps of warm-up (the original schedules count micro-steps)"""
    lr_decay_rate: PositiveFloat | None = None
    """factor per epoch of the step schedules"""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw, the original's; muon = Muon for the matrices of linear layers, AdamW for the rest"""
    weight_decay: NonNegativeFloat = 0.05
    """decay of parameters with two or more dimensions"""
    beta2: Chance = 0.999
    """second AdamW beta; the first is 0.9"""
    clip_grad_norm: Annotated[float, Range(0, above_low=True, instead="null = no clipping")] | None = None
    """largest gradient norm; null = no clipping, as in the original"""

    max_epoch: PositiveInt = 1
    """epochs of iters_per_epoch steps"""
    iters_per_epoch: PositiveInt | None = None
    """micro-steps per epoch; null = one pass over the data"""
    batch_size_train: PositiveInt | None = None
    """samples per micro-batch and rank; datasets.*.batch_size says the same (newest originals)"""
    max_tokens: PositiveInt | None = None
    """tokens of a micro-batch and rank, in the place of a batch size: as many samples as fit, dealt by length so that
    all micro-batches have about as many tokens"""
    batch_size_eval: PositiveInt | None = None
    """samples per validation batch; null = batch_size_train"""
    accum_grad_iters: PositiveInt = 1
    """micro-batches per optimizer step"""
    num_workers: Processes = 0
    """processes that read and decode; the order does not depend on it"""
    prefetch: PositiveInt = 2
    """micro-batches that each of them makes ahead; more of them even out images that are slow to read"""
    feature_store: str | None = None
    """folder with what frozen encoders say of each image, read instead of the image; null = computed at every step"""
    feature_fill: bool = True
    """True = what the feature store lacks is computed and stored as training goes on; False = only computed"""
    feature_dtype: Literal["fp32", "bf16", "fp16"] | None = None
    """what features are stored in; null = as they are computed"""

    amp: bool | None = None
    """original key: True = fp16 autocast on CUDA; use `precision` in new files"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto, fp32, bf16 or fp16: autocast of the forward pass; auto = fp32 on CPU, bf16 where CUDA has it"""
    tf32: bool = False
    """True = fp32 matrix products on a CUDA card in TF32 (faster, 10 bits of fraction); nothing changes elsewhere"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps"""
    num_threads: Threads | None = None
    """CPU threads of torch; null = as the environment says"""
    seed: Seed = 42
    """seed of data order, prompts, initial weights and dropout"""

    output_dir: str = "output"
    """the run folder itself, relative to the working directory; must be empty without --resume"""
    resume_ckpt_path: str | None = field(default=None, metadata={"path": "file"})
    """original key: a checkpoint file of the original runner, whose weights and optimizer are taken over"""
    save_every: PositiveInt | None = None
    """optimizer steps between checkpoints; null = once an epoch"""
    keep_checkpoints: PositiveInt = 2
    """newest checkpoints kept; the last of the run is always kept"""
    shard_bytes: PositiveInt = 5_000_000_000
    """largest size of a file of tensors in a checkpoint; more tensors go into more files"""
    evaluate: bool = False
    """True = measure test_splits and stop, no training"""
    train_splits: list[str] = field(default_factory=lambda: ["train"])
    """splits that are trained on"""
    valid_splits: list[str] = field(default_factory=list)
    """splits measured during training: loss, image gap, a few captions"""
    test_splits: list[str] = field(default_factory=list)
    """splits measured at the end"""
    valid_every: PositiveInt | None = None
    """optimizer steps between validations; null = once an epoch"""
    valid_samples: PositiveInt = 256
    """samples of a validation split that are measured"""
    valid_captions: NonNegativeInt = 4
    """captions written out at each validation"""

    knows: Knowledge | None = None
    """what the model is trained to know, for its users; null = what the bundle of model.ckpt says"""
    watch: WatchConfig | None = None
    """questions whose answers are printed as training goes on; null = none"""

    log_freq: PositiveInt = 50
    """optimizer steps between log lines"""
    wandb_log: bool = False
    """log to Weights & Biases too (extra 'wandb')"""
    job_name: str = "minigpt4"
    """name of the run for Weights & Biases"""

    max_unreadable: Share = 0.01
    """share of unreadable samples that ends the run (and at least 20 of them)"""
    max_nonfinite: PositiveInt = 3
    """non-finite losses that end the run"""
    process_timeout: PositiveInt = 600
    """seconds until a rank that does not answer ends the run"""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """ddp = each process has the whole model; fsdp = each has a part of the language model and of what trains"""
    fsdp: FsdpConfig = field(default_factory=FsdpConfig)
    """options of fsdp"""

    def __post_init__(self) -> None:
        check_values(self, prefix="run.")
        mistakes = _wrong_rates(self)
        if self.precision == "fp16" and self.device in ("cpu", "mps"):
            mistakes.append(_mistake("precision", f"is fp16, which does not train on {self.device}",
                                     "use bf16 or fp32"))
        if self.evaluate and not self.test_splits:
            mistakes.append(_mistake("evaluate", "is True, but run.test_splits is empty, so nothing would be measured",
                                     "name a split: run.test_splits=[val], or leave run.evaluate out to train"))
        if mistakes:
            raise UserErrors(mistakes)


def _mistake(key: str, what: str, fix: str) -> UserError:
    return UserError("config.value", where=f"run.{key}", what=what, fix=fix)


def _wrong_rates(run: RunConfig) -> list[UserError]:
    """What learning rates and warm-up say of each other."""
    found = []
    if run.min_lr > run.init_lr:
        found.append(_mistake("min_lr", f"is {run.min_lr:g}, above run.init_lr {run.init_lr:g}",
                              "use a rate at the end that is not above the first"))
    if run.warmup_lr > run.init_lr:
        found.append(_mistake("warmup_lr", f"is {run.warmup_lr:g}, above run.init_lr {run.init_lr:g}, so the warm-up "
                              "would do nothing", "use a rate below run.init_lr"))
    if -1 < run.warmup_lr < 0:
        found.append(_mistake("warmup_lr", f"is {run.warmup_lr:g}", "use -1 (init_lr), or 0 or more"))
    micro_steps = run.max_epoch * run.iters_per_epoch if run.iters_per_epoch is not None else None
    if micro_steps is not None and run.warmup_steps > micro_steps:
        found.append(_mistake("warmup_steps", f"is {run.warmup_steps}, but the run has only {micro_steps} micro-steps",
                              "warm up over fewer steps or train longer"))
    return found


def relations(run: RunConfig, datasets: Mapping[str, Any]) -> list[UserError]:
    """Splits that are measured or trained on, but that no data set of the YAML gives."""
    found: list[Any] = [getattr(each, "build_info", None) for each in datasets.values()]
    infos = [info for info in found if hasattr(info, "splits")]
    if len(infos) < max(len(datasets), 1):  # a data set that makes its splits itself knows which there are
        return []
    given = sorted({"train", *(name for info in infos for name in info.splits)})
    return [UserError("data.split", where=f"run.{key}", what=f"names the split '{split}', which no data set gives",
                      fix=f"{nearest(split, given)} or add datasets.NAME.build_info.splits.{split}.storage")
            for key in ("train_splits", "valid_splits", "test_splits")
            for split in getattr(run, key) if split not in given]


RETIRED_KEYS = {
    "dist_url": "torchrun sets the address",
    "world_size": "torchrun sets it (--nproc-per-node)",
    "distributed": "it follows from torchrun",
    "use_dist_eval_sampler": "validation is always split over the ranks",
    "gpu": "torchrun sets it",
    "rank": "torchrun sets it",
    "dist_backend": "nccl on CUDA, gloo elsewhere",
}
"""original keys that are accepted with one sentence and have no effect"""
