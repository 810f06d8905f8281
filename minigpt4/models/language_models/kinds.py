"""Is a config.json that of a causal language model? If it belongs to another kind of model, one sentence says which."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from minigpt4.common.errors import UserError

OTHER_HEADS = ("ForConditionalGeneration", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification",
               "ForQuestionAnswering", "ForPreTraining")
"""endings of classes that are not causal language models"""
LLAVA_KEYS = ("mm_vision_tower", "mm_projector_type", "mm_hidden_size")
"""keys of a language model that LLaVA's code (ViP-LLaVA, MGM, …) has made one with images of"""
TAKE = "give model.llm.weights the folder of a causal language model (Llama, Qwen, Mistral, Phi-3, …)"


def refuse_other_kinds(values: Mapping[str, Any], where: str) -> None:
    """Raise `UserError` unless transformers has a causal language model for these values of a config.json.

    Args:
        values: of the file.
        where: the file, or the key that gave them.
    """
    kind = str(values.get("model_type", "llama")).lower()
    _refuse_images(values, kind, where)
    _refuse_quantized(values, where)
    if kind not in CONFIG_MAPPING_NAMES:
        own = "model code of its own (auto_map)" if "auto_map" in values else "model code of its own"
        near = difflib.get_close_matches(kind, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, n=1)
        raise _error(where, f"belongs to a {kind}: transformers has no class {kind}; such a model needs {own}, which "
                     "is not run here" + (f" (the nearest name that it knows is {near[0]})" if near else ""))
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or values.get("is_encoder_decoder") or _has_other_head(values):
        what = ", ".join(_architectures(values) or [kind])
        more = " (an encoder-decoder)" if values.get("is_encoder_decoder") else ""
        raise _error(where, f"belongs to a {what}{more}, not to a causal language model")


def _architectures(values: Mapping[str, Any]) -> list[str]:
    """The class names of a config.json; none where it says something else."""
    found = values.get("architectures")
    return [str(name) for name in found] if isinstance(found, list) else []


def _refuse_images(values: Mapping[str, Any], kind: str, where: str) -> None:
    """A whole vision-language model has the language model inside it, under other names."""
    names = ", ".join(_architectures(values) or [kind])
    if any(key in values for key in LLAVA_KEYS):
        raise _error(where, f"belongs to a whole LLaVA-like model ({names}: images, projector and language model in "
                     "one)",
                     "give the language model that it was trained from, or load the whole with its own system")
    if "vision_config" in values and kind != "clip":
        raise _error(where, f"belongs to a whole vision-language model ({names})",
                     "give the language model alone, or load the whole with its own system")
    if kind in ("clip", "siglip") or kind.endswith("vision_model"):
        raise _error(where, f"belongs to a vision encoder ({names})")


def _refuse_quantized(values: Mapping[str, Any], where: str) -> None:
    quantized = values.get("quantization_config")
    if isinstance(quantized, Mapping):
        method = quantized.get("quant_method", "another program")
        raise UserError("weights.quantized", where=where, what=f"says that the weights are quantised by {method}",
                        fix="take the weights in 16 bit; model.llm.quantize makes them small while they are read")


def _has_other_head(values: Mapping[str, Any]) -> bool:
    names = _architectures(values)
    usual = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(str(values.get("model_type", "llama")).lower())
    return usual not in names and any(name.endswith(OTHER_HEADS) for name in names)


def _error(where: str, what: str, fix: str = TAKE) -> UserError:
    return UserError("weights.kind", where=where, what=what, fix=fix)
