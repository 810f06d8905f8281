"""Which strategy a run has, and what does not go with it."""

from __future__ import annotations

import torch

from minigpt4.common.config import Config
from minigpt4.common.errors import UserError
from minigpt4.common.process_group import ProcessGroup
from minigpt4.runners.parallel.replicated import Replicated
from minigpt4.runners.parallel.strategy import Strategy
from minigpt4.runners.precision import choose_precision


def check_parallel(config: Config, device: torch.device) -> None:
    """Raise `UserError` for what sharded weights cannot be combined with; costs nothing."""
    run, llm = config.run, config.model.llm
    if run.parallel != "fsdp":
        return
    if llm.quantize:
        raise _refused(f"model.llm.quantize is {llm.quantize}: quantised weights are not sharded",
                       "set model.llm.quantize=null, or run.parallel=ddp")
    if llm.device_map:
        raise _refused(f"model.llm.device_map is {llm.device_map}, which places layers whole",
                       "set model.llm.device_map=null, or run.parallel=ddp")
    if run.optimizer == "muon":
        raise _refused("run.optimizer is muon, which needs whole matrices", "set run.optimizer=adamw")
    if run.resume_ckpt_path:
        raise _refused("run.resume_ckpt_path takes over the optimizer of an original checkpoint, which is whole",
                       "give the checkpoint as model.ckpt, or set run.parallel=ddp")
    if device.type not in ("cpu", "cuda"):
        raise _refused(f"the device is {device.type}, over which nothing is sharded", "set run.parallel=ddp")
    if choose_precision(run, device).name == "fp16":
        raise _refused("the precision is fp16, whose loss scale looks at whole gradients", "use run.precision: bf16")


def choose_strategy(config: Config, group: ProcessGroup, device: torch.device) -> Strategy:
    """What `run.parallel` names, for processes that have joined."""
    if config.run.parallel == "fsdp":
        from minigpt4.runners.parallel.sharded import Sharded

        return Sharded(group, device, config.run.fsdp)
    return Replicated(group)


def _refused(what: str, fix: str) -> UserError:
    return UserError("config.value", where="run.parallel", what=f"is fsdp, but {what}", fix=fix)
