"""The one way from names to objects: a config becomes a `LoadedModel`.

Order: tokenizer and template (cheap, so mistakes show first), parts, files by their plans, checkpoint, freezing, dtype,
device; the language model last, into what memory is left; adapters. Nothing is loaded silently: every tensor is
accounted for in `load_report`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path

import torch
from torch import nn

from minigpt4.assembly.language_model import (
    check_language_model,
    fill_language_model,
    make_language_model,
    plan_to_read,
    positions_without_weights,
    settle_language_model,
)
from minigpt4.assembly.load_ledger import LoadLedger
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.assembly.manifest import data_of
from minigpt4.assembly.part_files import checkpoint_file, visual_files
from minigpt4.assembly.verification import as_trained, changes_since, check_fingerprints, check_tokenizer
from minigpt4.common.config import Config
from minigpt4.common.devices import choose_device, is_out_of_memory
from minigpt4.common.errors import UserError
from minigpt4.common.registry import systems
from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.tokenizer import Tokenizer, open_tokenizer
from minigpt4.models.freezing import DTYPES, cast_linear_layers, freeze, train
from minigpt4.models.language_models.causal_lm import CausalLM, CausalLMConfig
from minigpt4.models.lora import add_adapters, base_state, import_peft
from minigpt4.models.part import PartConfig
from minigpt4.models.unfilled import WithoutRandomFills
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.models.visual_path import VisualPath
from minigpt4.systems.config import LANGUAGE_MODEL, SystemConfig
from minigpt4.systems.contract import System
from minigpt4.weights.bundles.adapters import load_adapters
from minigpt4.weights.bundles.bundle import Bundle, load_bundle, open_bundle
from minigpt4.weights.bundles.places import newest_bundle
from minigpt4.weights.files.sources import Sources
from minigpt4.weights.plans.loading import PartOrigin

logger = logging.getLogger(__name__)

DEFAULT_SEED = 42
"""of random parts where no run says one; run.seed has the same default"""


Spread = Callable[[VisionLanguageModel], None]
"""gives each process of a run its part of a model, whose language model may still be empty"""


def build(config: Config, *, device: str | None = None, sources: Sources | None = None, spread: Spread | None = None
          ) -> LoadedModel:
    """Build and load the model of a whole config (`model:` and, where there is one, `run:`).

    Args:
        config: what `load_config` gives.
        device: overrides `run.device`.
        sources: what has opened the bundle that is loaded, if anything has.
        spread: shards the model over processes before the language model is read; None = it is whole.

    Raises:
        UserError: anything that does not belong together.
    """
    run = config.run
    chosen = choose_device(device or ("auto" if run is None else str(run.device)))
    try:
        return build_model(config.model, device=chosen, seed=DEFAULT_SEED if run is None else run.seed,
                           sources=sources, spread=spread)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError("model.memory", where="model", what="does not fit into the memory of this machine",
                        fix="minigpt4 plan says what it needs; make a part smaller, or load the language model in few "
                        "bits: model.llm.quantize=int8") from error


def build_renderer(config: SystemConfig) -> Renderer:
    """The renderer of a `model:` section alone, without a single weight (data show, dry runs)."""
    system = system_of(config)
    with torch.device("meta"):
        path = system.visual_path(config, llm_width=8)
    tokenizer = tokenizer_of(system, config, Sources())
    return Renderer(system.wording(config, tokenizer), tokenizer, _tokens_per_image(path))


def positions_in(config: SystemConfig) -> int | None:
    """Positions of the language model of a `model:` section, without a single weight; None = no end."""
    return positions_without_weights(config.llm, config.ckpt, Sources())


def build_model(config: SystemConfig, *, device: torch.device, seed: int = 42, sources: Sources | None = None,
                spread: Spread | None = None) -> LoadedModel:
    """Build and load the model of a `model:` section. Each file is opened once, by `sources`."""
    system = system_of(config)
    _check_adapters(config)
    sources = sources or Sources()
    check_language_model(config.llm, sources)
    tokenizer = tokenizer_of(system, config, sources)
    bundle = open_bundle(newest_bundle(config.ckpt), sources) if config.ckpt and Path(config.ckpt).is_dir() else None
    ledger = LoadLedger(lines=check_tokenizer(bundle, config))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        llm = make_language_model(config.llm, tokenizer, bundle, sources)
        model, loaded = _with_visual_parts(system, config, llm, bundle, sources)
    ledger.lines += loaded.lines
    ledger.origins |= loaded.origins
    path = model.visual_path
    for name, part in model.parts().items():
        if name != LANGUAGE_MODEL:
            ledger.lines += _settle(config.parts()[name], name, part, device)
    if spread is None:
        dtype = dtype_of(config.llm, device)[0]
        fill_language_model(llm, config.llm, ledger, bundle, sources, dtype=dtype, device=device)
        ledger.lines += _settle(config.llm, LANGUAGE_MODEL, llm, device)
        adapted = _add_adapters(config, model, seed)
    else:
        adapted = _fill_spread(config, model, ledger, bundle, sources, device, seed, spread)
    origins = {name: tuple(ledger.origins.get(name, [_fresh(part)])) for name, part in model.parts().items()}
    ledger.lines += [f"{name}: {origin}" for name, found in origins.items() for origin in found
                     if origin.source == "random"]
    if bundle is not None:
        named = {part: ledger.origins.get(part, []) for part in model.parts() if part not in bundle.stored_parts}
        ledger.lines += check_fingerprints(bundle, config, named)
    ledger.lines += adapted
    ledger.lines += load_adapters(bundle, model.parts()) if bundle is not None else []
    llm.balance_experts(config.llm.router_loss)
    if config.llm.activation_checkpointing:
        llm.recompute_activations(during_training=False)
    model.train(False)
    renderer = Renderer(system.wording(config, tokenizer), tokenizer, _tokens_per_image(path))
    behaviour = system.behaviour(config)
    spec = as_trained(system.pixels(config), bundle)
    ledger.lines += changes_since(bundle, renderer, spec)
    stage, knowledge = (bundle.manifest.stage, bundle.manifest.knows) if bundle else ("", None)
    return LoadedModel(model, renderer, spec, behaviour, config, origins, ledger.lines, stage, data_of(bundle),
                       knowledge)


def _with_visual_parts(system: System[SystemConfig], config: SystemConfig, llm: CausalLM, bundle: Bundle | None,
                       sources: Sources) -> tuple[VisionLanguageModel, LoadLedger]:
    """The model with its visual path loaded; random values that files replace are not drawn."""
    stored: Collection[str] = bundle.stored_parts if bundle else ()
    state = torch.get_rng_state()
    if all(part.weights or name in stored for name, part in config.parts().items() if name != LANGUAGE_MODEL):
        with WithoutRandomFills():
            path = system.visual_path(config, llm.width)
        model = VisionLanguageModel(path, llm)
        loaded = _load_visual_parts(system, config, model, bundle, sources)
        if _is_filled(model, loaded):
            return model, loaded
        torch.set_rng_state(state)  # some tensors are in no file, so their random values count
    model = VisionLanguageModel(system.visual_path(config, llm.width), llm)
    return model, _load_visual_parts(system, config, model, bundle, sources)


def _load_visual_parts(system: System[SystemConfig], config: SystemConfig, model: VisionLanguageModel,
                       bundle: Bundle | None, sources: Sources) -> LoadLedger:
    _check_parts(model, config)
    loaded = LoadLedger()
    for opened in visual_files(system, config, sources, leave_out=bundle.stored_parts if bundle else ()):
        loaded.add(opened.load(model.parts()))
    _load_checkpoint(system, config, model, bundle, loaded, sources)
    return loaded


def _is_filled(model: VisionLanguageModel, loaded: LoadLedger) -> bool:
    """Whether every tensor of the visual path came from a file."""
    return all(sum(origin.num_tensors for origin in loaded.origins.get(name, ())) >= len(base_state(part))
               for name, part in model.parts().items() if name != LANGUAGE_MODEL)


def _check_parts(model: VisionLanguageModel, config: SystemConfig) -> None:
    """Raise `UserError` if a stage of the visual path has no part of its name in the `model:` section."""
    for name in model.parts():
        if name not in config.parts():
            raise UserError("system.parts", where=type(config).__name__,
                            what=f"has no part '{name}', the name of a stage",
                            fix=f"name stage and field alike; its parts: {', '.join(config.parts())}")


def system_of(config: SystemConfig) -> System[SystemConfig]:
    """The system of a `model:` section."""
    system: System[SystemConfig] = systems.get(config.arch, where="model.arch")
    return system


def tokenizer_of(system: System[SystemConfig], config: SystemConfig, sources: Sources) -> Tokenizer:
    """The tokenizer of a `model:` section, read as its behaviour says."""
    return open_tokenizer(config.llm.tokenizer_folder(), legacy=system.behaviour(config).legacy_tokenizer,
                          read=sources.read)


def _tokens_per_image(path: VisualPath | None) -> int:
    return 0 if path is None else path.tokens_per_image


def _load_checkpoint(system: System[SystemConfig], config: SystemConfig, model: VisionLanguageModel,
                     bundle: Bundle | None, ledger: LoadLedger, sources: Sources) -> None:
    if bundle is not None:
        bundle.check_parts(list(model.parts()))
        visual = {name: part for name, part in model.parts().items() if name != "llm"}  # which is read last
        ledger.replace(load_bundle(bundle, visual))
    elif config.ckpt:
        ledger.replace(checkpoint_file(system, config, config.ckpt, sources).load(model.parts()))


def _fresh(part: nn.Module) -> PartOrigin:
    return PartOrigin("random" if any(True for _ in part.parameters()) else "none")


def dtype_of(config: PartConfig, device: torch.device) -> tuple[torch.dtype, str]:
    """The dtype a part gets, and a sentence where that is not the one that was asked for (else '')."""
    if config.dtype == "auto":
        half = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
        return (half if device.type == "cuda" and config.freeze else torch.float32), ""
    wanted = DTYPES[config.dtype]
    if wanted is torch.float16 and device.type == "cpu":
        return torch.float32, "fp16 is a hundred times slower than fp32 on CPU, so it is kept in fp32"
    if wanted is not torch.float32 and not config.freeze:
        return torch.float32, f"it trains, so its weights stay in fp32 ({config.dtype} is left to run.precision)"
    return wanted, ""


def _settle(config: PartConfig, name: str, part: nn.Module, device: torch.device) -> list[str]:
    """Freeze a part, give it its dtype and bring it to its device; returns lines of the report."""
    if config.freeze:
        freeze(part)
    else:
        train(part, config.train_only)
    dtype, note = dtype_of(config, device)
    lines = [f"{name}: {note}"] if note else []
    if isinstance(config, CausalLMConfig) and isinstance(part, CausalLM):
        lines += settle_language_model(part, config, dtype, device)
    else:
        if dtype is not torch.float32:
            cast_linear_layers(part, dtype)
        part.to(device)
    return lines


def _check_adapters(config: SystemConfig) -> None:
    """What adapters need is checked before anything large is read."""
    for name, part in config.parts().items():
        if part.lora.r == 0:
            continue
        import_peft()
        if not part.freeze:
            raise UserError("config.value", where=f"model.{name}.lora.r",
                            what=f"is {part.lora.r}, but model.{name}.freeze is False, so all its weights train anyway",
                            fix=f"set model.{name}.freeze=True, or model.{name}.lora.r=0")


def _add_adapters(config: SystemConfig, model: VisionLanguageModel, seed: int) -> list[str]:
    """Adapters on the parts whose config wants some; returns lines for the report."""
    lines = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, part in model.parts().items():
            wanted = config.parts()[name].lora
            if wanted.r:
                number = add_adapters(part, wanted, where=f"model.{name}")
                lines.append(f"{name}: LoRA of rank {wanted.r} on {number} layers")
    return lines


def _fill_spread(config: SystemConfig, model: VisionLanguageModel, ledger: LoadLedger, bundle: Bundle | None,
                 sources: Sources, device: torch.device, seed: int, spread: Spread) -> list[str]:
    """Freeze the language model and put adapters on while it is empty, spread it, and fill what each process has of it.

    Returns:
        lines of the report about adapters.
    """
    llm = model.llm
    read = plan_to_read(llm, config.llm, bundle, sources)
    ledger.lines += _settle(config.llm, LANGUAGE_MODEL, llm, device)
    adapted = _add_adapters(config, model, seed)
    spread(model)
    if read is not None:
        ledger.replace(read(llm))
    return adapted
