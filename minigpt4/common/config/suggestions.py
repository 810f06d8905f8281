"""What an unknown key was meant to be: by meaning (other trainers' names), by place (a deeper level), by spelling."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterator, Mapping

from minigpt4.common import registry
from minigpt4.common.config.fields import fields_of
from minigpt4.common.config.layers import KeyPath, dotted

SIMILAR = 0.7
"""below this, two spellings are two words (device_map, device_8bit: 0.67)"""
NONE = ""
USUAL_RUNNER = "runner_base"

MEANINGS: Mapping[str, str] = {
    "learning_rate": "run.init_lr", "lr": "run.init_lr", "base_lr": "run.init_lr", "peak_lr": "run.init_lr",
    "min_learning_rate": "run.min_lr", "final_lr": "run.min_lr",
    "lr_scheduler_type": "run.lr_sched", "lr_scheduler": "run.lr_sched", "scheduler": "run.lr_sched",
    "warmup": "run.warmup_steps", "num_warmup_steps": "run.warmup_steps",
    "warmup_ratio": "run.warmup_steps (a number of optimizer steps, no share of the run)",
    "num_train_epochs": "run.max_epoch", "num_epochs": "run.max_epoch", "epochs": "run.max_epoch",
    "max_epochs": "run.max_epoch", "n_epochs": "run.max_epoch",
    "max_steps": "run.max_epoch and run.iters_per_epoch, whose product is the number of micro-steps",
    "num_training_steps": "run.max_epoch and run.iters_per_epoch, whose product is the number of micro-steps",
    "gradient_accumulation_steps": "run.accum_grad_iters", "accumulation_steps": "run.accum_grad_iters",
    "grad_accum_steps": "run.accum_grad_iters", "accumulate_grad_batches": "run.accum_grad_iters",
    "per_device_train_batch_size": "run.batch_size_train", "train_batch_size": "run.batch_size_train",
    "micro_batch_size": "run.batch_size_train", "per_device_eval_batch_size": "run.batch_size_eval",
    "eval_batch_size": "run.batch_size_eval",
    "max_grad_norm": "run.clip_grad_norm", "gradient_clip_val": "run.clip_grad_norm", "grad_clip": "run.clip_grad_norm",
    "gradient_clipping": "run.clip_grad_norm", "clip_grad": "run.clip_grad_norm",
    "adam_beta2": "run.beta2", "betas": "run.beta2 (the first is always 0.9)", "optim": "run.optimizer",
    "bf16": "run.precision=bf16", "fp16": "run.precision=fp16", "mixed_precision": "run.precision",
    "torch_dtype": "model.llm.dtype (each part has its own; run.precision is that of the computation)",
    "dataloader_num_workers": "run.num_workers", "workers": "run.num_workers", "num_proc": "run.num_workers",
    "save_steps": "run.save_every", "checkpoint_every": "run.save_every", "save_total_limit": "run.keep_checkpoints",
    "eval_steps": "run.valid_every", "val_check_interval": "run.valid_every", "logging_steps": "run.log_freq",
    "log_every": "run.log_freq", "report_to": "run.wandb_log", "run_name": "run.job_name", "experiment": "run.job_name",
    "resume_from_checkpoint": "the flag --resume (or --resume-from STEP)", "resume": "the flag --resume",
    "random_seed": "run.seed", "manual_seed": "run.seed", "out_dir": "run.output_dir", "save_dir": "run.output_dir",
    "load_in_8bit": "model.llm.quantize=int8", "load_in_4bit": "model.llm.quantize=nf4",
    "quantization": "model.llm.quantize", "bits": "model.llm.quantize",
    "lora_r": "model.llm.lora.r", "lora_rank": "model.llm.lora.r", "rank": "model.llm.lora.r",
    "lora_alpha": "model.llm.lora.alpha", "lora_dropout": "model.llm.lora.dropout",
    "lora_target_modules": "model.llm.lora.target_modules", "lora_enable": "model.llm.lora.r",
    "model_name_or_path": "model.llm.weights", "base_model": "model.llm.weights", "llm_path": "model.llm.weights",
    "language_model": "model.llm.weights", "tokenizer_name": "model.llm.tokenizer",
    "vision_tower": "model.vision.weights", "image_encoder": "model.vision.weights",
    "pretrain_mm_mlp_adapter": "model.ckpt", "mm_projector": "model.connector", "projector": "model.connector",
    "pretrained": "model.ckpt", "checkpoint": "model.ckpt", "ckpt_path": "model.ckpt",
    "gradient_checkpointing": "model.llm.activation_checkpointing",
    "use_gradient_checkpointing": "model.llm.activation_checkpointing",
    **dict.fromkeys(("max_seq_length", "cutoff_len", "model_max_length", "max_length", "max_seq_len"),
                    "model.max_txt_len (tokens of an answer)"),
    "version": "model.template", "conv_template": "model.template", "conversation_template": "model.template",
    "image_folder": "datasets.NAME.build_info.storage", "data_path": "datasets.NAME.build_info.annotations",
    "train_file": "datasets.NAME.build_info.annotations", "dataset": "datasets", "data": "datasets",
    "deepspeed": NONE, "fsdp": NONE, "gradient_checkpointing_kwargs": NONE, "local_rank": NONE,
}
"""another trainer's key -> ours; empty = there is none"""


def suggestion(key: str, path: KeyPath, config_class: type, original: Collection[str]) -> str:
    """A clause for the sentence about an unknown key.

    Args:
        key: as it was written.
        path: of the mapping that it stands in.
        config_class: what the mapping becomes.
        original: keys of the original that are read there, too.
    """
    known = [*fields_of(config_class), *original]
    if close := difflib.get_close_matches(key, known, n=1, cutoff=SIMILAR):
        return f"did you mean '{close[0]}'?"
    if deeper := list(_deeper(key, path, config_class)):
        return "here it is " + " or ".join(deeper[:4])
    if path[:1] != ("run",) and key in fields_of(registry.runners.get(USUAL_RUNNER).Config):
        return f"here it is run.{key}"
    if key in MEANINGS:
        return f"here it is {MEANINGS[key]}" if MEANINGS[key] else "there is no such key: for several GPUs use torchrun"
    return "known: " + ", ".join(sorted(known))


def _deeper(key: str, path: KeyPath, config_class: type) -> Iterator[str]:
    """Dotted keys of that name below."""
    for name, info in fields_of(config_class).items():
        if not dataclasses.is_dataclass(info.default):
            continue
        below: type = type(info.default)
        if key in fields_of(below):
            yield dotted((*path, name, key))
        yield from _deeper(key, (*path, name), below)
