"""Each process holds a part of the language model and of everything that trains (FSDP2, `fully_shard`).

Units are the language model's layers, whose weights are gathered when their turn comes and dropped again, and one unit
of all the rest that is the language model's or trains (embedding, output layer, connector), which is whole during a
step. Frozen encoders stay whole on every rank. Passes gather, so every rank must make as many as the others: one
without a row runs a row of nothing, one without an image goes back through all layers, and measuring and captions are
kept in step (`unequal`, `first_alone`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, OffloadPolicy, fully_shard

from minigpt4.common.errors import UserError
from minigpt4.common.process_group import ProcessGroup
from minigpt4.common.sharded_tensors import is_sharded, own_rows
from minigpt4.conversation.batching import pad
from minigpt4.models.freezing import is_frozen
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.records.batches import IGNORED_LABEL, Batch, Rendered
from minigpt4.runners.config import FsdpConfig
from minigpt4.runners.parallel.strategy import Awaited

MIB = 1 << 20


class Sharded:
    """A part of the model on each of the group's processes.

    Args:
        group: the processes of the run, joined even where there is one.
        device: of this process.
        options: `run.fsdp`.
    """

    collective = True

    def __init__(self, group: ProcessGroup, device: torch.device, options: FsdpConfig) -> None:
        self._group = group
        self._device = device
        self._options = options
        self.stand_in: Batch | None = stand_in(device)
        self._layers: list[nn.Module] = []
        self._held: tuple[int, int] = (0, 0)

    def describe(self) -> list[str]:
        held, of = self._held
        return [f"fsdp: {held / MIB:,.2f} of {of / MIB:,.2f} MiB of sharded weights on the first of "
                f"{self._group.world_size} processes{', in host memory' if self._options.offload else ''}"]

    def spread(self, model: nn.Module) -> None:
        """Shard the layers of the language model, and together what else is its or trains; make room for weights."""
        assert isinstance(model, VisionLanguageModel), "what `assembly` builds"
        mesh = init_device_mesh(self._device.type, (self._group.world_size,))
        pin = self._device.type == "cuda"
        policy = CPUOffloadPolicy(pin_memory=pin) if self._options.offload else OffloadPolicy()
        frozen = {parameter for name, part in model.parts().items() if name != "llm" and is_frozen(part)
                  for parameter in part.parameters()}
        self._layers = layers_of(model)
        if any(parameter.requires_grad for name, part in model.parts().items() if name != "llm"
               for parameter in part.parameters()):
            self._layers[0].register_forward_pre_hook(_with_gradient, with_kwargs=True)
        for layer in self._layers:
            fully_shard(layer, mesh=mesh, offload_policy=policy,
                        reshard_after_forward=self._options.reshard_after_forward)
        fully_shard(model, mesh=mesh, offload_policy=policy, ignored_params=frozen)
        _make_room(model, torch.device("cpu") if self._options.offload else self._device)

    def begin(self, model: nn.Module) -> None:
        """One forward pass through the whole model: FSDP takes what runs first for the root of the rest."""
        assert isinstance(model, VisionLanguageModel), "what `spread` was given"
        with torch.no_grad():
            model(self.stand_in)
        _root(model).reshard()
        sharded = [parameter for parameter in model.parameters() if is_sharded(parameter)]
        self._held = (sum(own_rows(each).numel() * each.element_size() for each in sharded),
                      sum(each.numel() * each.element_size() for each in sharded))

    def awaited(self, model: nn.Module) -> Awaited | None:
        """What trains and is no layer's: layers have a gradient from every pass. It is whole when the loss is made."""
        layers = {module for layer in self._layers for module in layer.modules()}
        places = [(module, name) for module in model.modules() if module not in layers
                  for name, parameter in module.named_parameters(recurse=False) if parameter.requires_grad]
        return lambda: [getattr(module, name) for module, name in places]

    def wrap(self, step: nn.Module) -> nn.Module:
        return step

    def gradients_stay_here(self, step: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Every micro-batch sends gradients around: kept until the last one, they would be whole on every rank."""
        return nullcontext()

    @contextmanager
    def unequal(self, model: nn.Module) -> Iterator[None]:
        """Ranks that made fewer forward passes than another make up for it at the end."""
        with _whole_root(model), _Passes(model) as passes:
            yield
            for _ in range(max(self._group.gather(passes.number)) - passes.number):
                pass_of_nothing(model)

    @contextmanager
    def first_alone(self, model: nn.Module) -> Iterator[None]:
        """Whenever the first rank is about to make a forward pass, the others make one of nothing."""
        with _whole_root(model):
            if self._group.is_first:
                with _Passes(model, announce=lambda: self._group.any(True)):
                    try:
                        yield
                    finally:
                        self._group.any(False)
                return
            yield
            while self._group.any(False):
                pass_of_nothing(model)


def layers_of(model: VisionLanguageModel) -> list[nn.Module]:
    """The layers of the language model, as transformers names what must stay together.

    Raises:
        UserError: it names none.
    """
    kinds = set(model.llm.model._no_split_modules or ())
    layers = [module for module in model.llm.modules() if type(module).__name__ in kinds]
    if not layers:
        raise UserError("config.value", where="run.parallel", fix="set run.parallel=ddp",
                        what=f"is fsdp, but transformers names no layers of {type(model.llm.model).__name__}")
    return layers


def _with_gradient(layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Let the backward pass of a row without images go through frozen layers, too: others gather them meanwhile."""
    hidden = inputs[0] if inputs else named["hidden_states"]
    if torch.is_grad_enabled() and not hidden.requires_grad:
        hidden.requires_grad_()


def stand_in(device: torch.device) -> Batch:
    """One row of two words, the second to be learned, for a rank that has none."""
    return pad([Rendered(ids=[0, 0], labels=[IGNORED_LABEL, 0], slots=[-1, -1])], pad_token_id=0).to(device)


def pass_of_nothing(model: nn.Module) -> None:
    """The language model's layers on one embedding of zeros: what other ranks gather meanwhile is gathered here."""
    assert isinstance(model, VisionLanguageModel), "what `spread` was given"
    weight = next(model.llm.model.get_input_embeddings().parameters())
    zeros = torch.zeros(1, 1, model.llm.width, dtype=weight.dtype, device=model.device)
    with torch.no_grad():
        model.llm.model(inputs_embeds=zeros, attention_mask=zeros.new_ones(1, 1, dtype=torch.int64), use_cache=False)


def _root(model: nn.Module) -> FSDPModule:
    assert isinstance(model, FSDPModule), "what `spread` sharded"
    return model


@contextmanager
def _whole_root(model: nn.Module) -> Iterator[None]:
    """What is not a layer stays whole: generation asks for it outside the model's own forward pass."""
    _root(model).unshard()
    try:
        yield
    finally:
        _root(model).reshard()


class _Passes:
    """Counts forward passes through the layers of the language model; `announce` is called before each."""

    def __init__(self, model: nn.Module, announce: Callable[[], object] = lambda: None) -> None:
        self.number = 0
        self._announce = announce
        self._first = next(module for module in model.modules()
                           if isinstance(module, FSDPModule) and module is not model)

    def __enter__(self) -> _Passes:
        self._hook = self._first.register_forward_pre_hook(self._count, prepend=True)
        return self

    def __exit__(self, *of_error: object) -> None:
        self._hook.remove()

    def _count(self, module: nn.Module, inputs: object) -> None:
        self.number += 1
        self._announce()


def _make_room(model: nn.Module, device: torch.device) -> None:
    """Memory for this rank's rows of parameters that are still empty; tied ones stay one."""
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_meta:
                room = made.setdefault(id(parameter), nn.Parameter(
                    torch.empty_like(parameter, device=device), requires_grad=parameter.requires_grad))
                setattr(module, name, room)
