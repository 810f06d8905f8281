"""The language model of a config: made empty, filled tensor by tensor where each belongs, spread over devices.

It is by far the largest part, so it is read last and straight to its device, in its final dtype or quantised: beyond
the model itself, memory holds one tensor at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch

from minigpt4.assembly.load_ledger import Loaded, LoadLedger
from minigpt4.common.errors import UserError
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.models.language_models.bounds import refuse_impossible_sizes
from minigpt4.models.language_models.causal_lm import CausalLM, CausalLMConfig, positions_said, transformers_config
from minigpt4.models.language_models.copying_start import start_copying
from minigpt4.models.language_models.kinds import refuse_other_kinds
from minigpt4.models.language_models.placement import device_of, dispatch, is_placed, plan_places
from minigpt4.models.language_models.quantized import holds_quantized, is_quantized, quantize_linear_layers
from minigpt4.weights.bundles.bundle import Bundle, load_bundle, open_bundle
from minigpt4.weights.bundles.places import newest_bundle
from minigpt4.weights.files.sources import CONFIG, Sources
from minigpt4.weights.plans.language_model import empty_model, language_model_plan
from minigpt4.weights.plans.loading import Destination, load_file, target_shapes
from minigpt4.weights.plans.readings import Reading, read_as_it_fits

Read = Callable[[CausalLM], Loaded]
"""fills a language model"""


def check_language_model(config: CausalLMConfig, sources: Sources) -> None:
    """Raise `UserError` if the folder of the weights holds another kind of model; costs its config.json alone.

    Asked first of all: such a folder often has no tokenizer either.
    """
    if config.weights is not None:
        folder = Path(config.weights)
        refuse_other_kinds(sources.config_json(folder), str(folder / CONFIG))


def positions_without_weights(config: CausalLMConfig, ckpt: str | None, sources: Sources) -> int | None:
    """Positions of the language model of a config; costs a config.json.

    Args:
        config: `model.llm`.
        ckpt: `model.ckpt`, whose bundle may hold the language model.
        sources: opens what is named.

    Raises:
        UserError: what is named cannot be read.
    """
    bundle = open_bundle(newest_bundle(ckpt), sources) if ckpt and Path(ckpt).is_dir() else None
    if bundle is not None and "llm" in bundle.stored_parts:
        return positions_said(sources.json(bundle.llm_config_path))
    if config.weights is not None:
        return positions_said(sources.config_json(Path(config.weights)))
    return positions_said(config.random)


def make_language_model(config: CausalLMConfig, tokenizer: Tokenizer, bundle: Bundle | None, sources: Sources
                        ) -> CausalLM:
    """Empty, on the meta device, where a bundle or a folder has its weights; else with random ones.

    Args:
        config: `model.llm`.
        tokenizer: must not have ids beyond the rows of the weights.
        bundle: the bundle that is loaded, which may hold the language model.
        sources: opens the folder.

    Raises:
        UserError: neither weights nor sizes are given, or the tokenizer has ids that the weights have no row for.
    """
    if bundle is not None and "llm" in bundle.stored_parts:
        path = bundle.llm_config_path
        values = sources.values(path)
        own = {name: shape for name, shape in bundle.file.shapes.items() if name.startswith("llm.")}
        refuse_impossible_sizes(values, own, where=str(path))
        return CausalLM(transformers_config(values, where=str(path)), empty=True, where=str(path))
    if config.weights is not None:
        return _empty(Path(config.weights), tokenizer, sources)
    if not config.random:
        raise UserError("config.missing", where="model.llm.weights", what="neither weights nor random sizes are given",
                        fix="set model.llm.weights to a folder, or model.llm.random to config.json values")
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    llm = CausalLM(transformers_config({"vocab_size": tokenizer.vocab_size, **ids, **config.random}))
    if config.start == "copying":
        start_copying(llm.model)
    return llm


def fill_language_model(llm: CausalLM, config: CausalLMConfig, ledger: LoadLedger, bundle: Bundle | None,
                        sources: Sources, *, dtype: torch.dtype, device: torch.device) -> None:
    """Read an empty language model's weights to where they belong; one that is not empty stays as it is.

    Raises:
        UserError: a folder or bundle that does not fit, or layers that fit nowhere.
    """
    if not _is_empty(llm):
        return
    if config.quantize:
        ledger.lines.append(f"llm: {quantize_linear_layers(llm.model, config.quantize, dtype)}")
    destination = Destination(dtype, lambda name: device)
    if config.device_map:
        places = plan_places(llm.model, config.device_map, config.max_memory, dtype, quantize=config.quantize,
                             main_device=device)
        destination = Destination(dtype, lambda name: device_of(places, name.removeprefix("model.")))
        counts = {place: sum(value == place for value in places.values()) for place in places.values()}
        ledger.lines.append("llm: modules " + ", ".join(f"{n} on {place}" for place, n in counts.items()))
    if bundle is not None and "llm" in bundle.stored_parts:
        ledger.replace(load_bundle(bundle, {"llm": llm}, {"llm": destination}))
    elif config.weights is not None:
        ledger.add(load_file(language_model_plan(llm.model), sources.weights(config.weights), {"llm": llm},
                             {"llm": destination}))
        _refuse_other_heads(llm, config.weights)
    llm.model.tie_weights()
    if config.device_map:
        dispatch(llm.model, places, device, config.offload_folder)


def plan_to_read(llm: CausalLM, config: CausalLMConfig, bundle: Bundle | None, sources: Sources) -> Read | None:
    """What will read an empty language model's weights to where they are by then, adapted or spread over processes.

    Returns:
        None for one that is not empty.
    """
    if not _is_empty(llm):
        return None
    llm.model.tie_weights()
    if bundle is not None and "llm" in bundle.stored_parts:
        return lambda filled: load_bundle(bundle, {"llm": filled})
    assert config.weights is not None, "an empty language model has weights somewhere"
    file, plan = sources.weights(config.weights), language_model_plan(deepcopy(llm.model))
    _refuse_other_heads_in(read_as_it_fits(file, plan, target_shapes({"llm": llm})), llm)
    return lambda filled: load_file(plan, file, {"llm": filled})


def _is_empty(llm: CausalLM) -> bool:
    return bool(llm.model.get_input_embeddings().weight.is_meta)


def settle_language_model(llm: CausalLM, config: CausalLMConfig, dtype: torch.dtype, device: torch.device) -> list[str]:
    """Give it its dtype and device; what has random weights is quantised now, what has places or is empty stays there.

    Returns:
        lines of the report.
    """
    if is_placed(llm.model):
        return []
    if _is_empty(llm):
        llm.to(dtype)
        return []
    if not config.quantize:
        llm.to(device, dtype)
        return []
    lines = []
    if not holds_quantized(llm):
        lines.append(f"llm: {quantize_linear_layers(llm.model, config.quantize, dtype)}")
    for layer in llm.modules():
        if not is_quantized(layer):
            for parameter in layer.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)
    llm.to(device)
    return lines


def _empty(folder: Path, tokenizer: Tokenizer, sources: Sources) -> CausalLM:
    """The model of a folder, with as many rows as its files have of the input embedding."""
    llm = empty_model(sources.config_json(folder), sources.weights(folder), where=str(folder / CONFIG))
    if llm.vocab_size < tokenizer.vocab_size:
        raise UserError(
            "weights.vocabulary", where=str(folder),
            what=f"the tokenizer gives ids up to {tokenizer.vocab_size - 1}, the embedding has {llm.vocab_size} rows",
            fix="use tokenizer and weights of the same model",
        )
    return llm


def _refuse_other_heads(llm: CausalLM, weights: str) -> None:
    """A file may hold an output layer that is not the input embedding, against what its config.json says."""
    table, output = llm.model.get_input_embeddings().weight, llm.model.get_output_embeddings()
    if not llm.ties_embeddings or output is None or output.weight.is_meta or output.weight.device != table.device:
        return
    if not torch.equal(output.weight, table):
        raise _other_head(weights)


def _refuse_other_heads_in(reading: Reading, llm: CausalLM) -> None:
    """The same for a language model in which they are one tensor already."""
    table = llm.model.get_input_embeddings().weight
    tied = {f"llm.model.{name}" for name, value in llm.model.named_parameters(remove_duplicate=False) if value is table}
    sources = {each.sources for each in reading.matched.assignments if each.target in tied}
    first, *others = [[reading.file.load(name) for name in names] for names in sources]
    if any(not torch.equal(one, other) for tensors in others for one, other in zip(first, tensors, strict=True)):
        raise _other_head(str(reading.file.path))


def _other_head(weights: str) -> UserError:
    return UserError("weights.tied", where=weights, fix='set "tie_word_embeddings": false in its config.json',
                     what="its output layer differs from the input embedding, but config.json says they are tied")
