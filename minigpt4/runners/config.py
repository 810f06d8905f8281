"""The `run:` section of a YAML: original keys where the original had them, ours beside them.

Source: docs/originals/minigpt4.md#run-keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from minigpt4.common.errors import UserError, nearest
from minigpt4.common.registry import Registry, schedules, tasks


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How a run goes: task, optimizer, schedule, length, precision, what is measured and kept."""

    task: str = "image_text_pretrain"
    """what a step is: a registered task"""
    runner: str = "runner_base"
    """the loop: a registered runner"""

    lr_sched: str = "warmup_cosine"
    """linear_warmup_cosine_lr, linear_warmup_step_lr (exactly the original's), corrected: warmup_cosine, warmup_step"""
    init_lr: float = 1e-4
    """learning rate after warm-up"""
    min_lr: float = 0.0
    """learning rate at the end"""
    warmup_lr: float = -1.0
    """learning rate of step 0; -1 = init_lr, as in the original"""
    warmup_steps: int = 0
    """optimizer steps of warm-up (the original schedules count micro-steps)"""
    lr_decay_rate: float | None = None
    """factor per epoch of the step schedules"""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw, the original's; muon = Muon for the matrices of linear layers, AdamW for the rest"""
    weight_decay: float = 0.05
    """decay of parameters with two or more dimensions"""
    beta2: float = 0.999
    """second AdamW beta; the first is 0.9"""
    clip_grad_norm: float | None = None
    """largest gradient norm; null = no clipping, as in the original"""

    max_epoch: int = 1
    """epochs of iters_per_epoch steps"""
    iters_per_epoch: int | None = None
    """micro-steps per epoch; null = one pass over the data"""
    batch_size_train: int | None = None
    """samples per micro-batch and rank; datasets.*.batch_size says the same (newest originals)"""
    batch_size_eval: int | None = None
    """samples per validation batch; null = batch_size_train"""
    accum_grad_iters: int = 1
    """micro-batches per optimizer step"""
    num_workers: int = 0
    """processes that read and decode; the order does not depend on it"""

    amp: bool | None = None
    """original key: True = fp16 autocast on CUDA; use `precision` in new files"""
    precision: str = "auto"
    """auto, fp32, bf16 or fp16: autocast of the forward pass; auto = fp32 on CPU, bf16 where CUDA has it"""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps"""
    num_threads: int | None = None
    """CPU threads of torch; null = as the environment says"""
    seed: int = 42
    """seed of data order, prompts, initial weights and dropout"""

    output_dir: str = "output"
    """the run folder itself, relative to the working directory; must be empty without --resume"""
    resume_ckpt_path: str | None = field(default=None, metadata={"path": "file"})
    """original key: a checkpoint file of the original runner, whose weights and optimizer are taken over"""
    save_every: int | None = None
    """optimizer steps between checkpoints; null = once an epoch"""
    keep_checkpoints: int = 2
    """newest checkpoints kept; the last of the run is always kept"""
    shard_bytes: int = 5_000_000_000
    """largest size of a file of tensors in a checkpoint; more tensors go into more files"""
    evaluate: bool = False
    """True = measure test_splits and stop, no training"""
    train_splits: list[str] = field(default_factory=lambda: ["train"])
    """splits that are trained on"""
    valid_splits: list[str] = field(default_factory=list)
    """splits measured during training: loss, image gap, a few captions"""
    test_splits: list[str] = field(default_factory=list)
    """splits measured at the end"""
    valid_every: int | None = None
    """optimizer steps between validations; null = once an epoch"""
    valid_samples: int = 256
    """samples of a validation split that are measured"""
    valid_captions: int = 4
    """captions written out at each validation"""

    log_freq: int = 50
    """optimizer steps between log lines"""
    wandb_log: bool = False
    """log to Weights & Biases too (extra 'wandb')"""
    job_name: str = "minigpt4"
    """name of the run for Weights & Biases"""

    max_unreadable: float = 0.01
    """share of unreadable samples that ends the run (and at least 20 of them)"""
    max_nonfinite: int = 3
    """non-finite losses that end the run"""
    process_timeout: int = 600
    """seconds until a rank that does not answer ends the run"""

    def __post_init__(self) -> None:
        for key in ("max_epoch", "accum_grad_iters", "log_freq", "keep_checkpoints", "shard_bytes"):
            if getattr(self, key) < 1:
                raise UserError("config.value", where=f"run.{key}", what=f"is {getattr(self, key)}",
                                fix="use 1 or more")
        _check_name("lr_sched", self.lr_sched, schedules)
        _check_name("task", self.task, tasks)
        if self.precision not in ("auto", "fp32", "bf16", "fp16"):
            raise UserError("config.value", where="run.precision", what=f"is '{self.precision}'",
                            fix="use auto, fp32, bf16 or fp16")


def _check_name(key: str, name: str, registry: Registry[Any]) -> None:
    """Registered names are checked when the YAML is read, together with its other mistakes."""
    if name not in registry:
        raise UserError("registry.unknown", where=f"run.{key}", what=f"is '{name}', an unknown {registry.kind}",
                        fix=nearest(name, registry.names()))


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
