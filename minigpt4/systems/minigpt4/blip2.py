"""MiniGPT-4's parts in transformers' `Blip2ForConditionalGeneration`: names, and a folder's sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import Blip2Config, PretrainedConfig

from minigpt4.common.errors import UserError
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.models.resamplers.q_former import QFormerConfig
from minigpt4.models.vision.eva_vit import EvaVitConfig
from minigpt4.records.images import CLIP_MEAN, CLIP_STD
from minigpt4.systems.contract import ForeignForm
from minigpt4.systems.minigpt4.config import MiniGPT4Config
from minigpt4.weights.files.readers import read_json

Value = float | str | bool
ALLOWED: Mapping[str, Mapping[str, tuple[Value, ...]]] = {
    "vision_config": {"layer_norm_eps": (1e-6, 1e-5), "hidden_act": ("gelu",), "qkv_bias": (True,)},
    "qformer_config": {"layer_norm_eps": (1e-12,), "use_qformer_text_input": (False,)},
}
"""what eva_vit and q_former are built with, ours first; the vision encoder has both epsilons, as the original"""
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


def section_of(source: Path, template: str) -> MiniGPT4Config:
    """The `model:` section with the sizes of a Blip2 folder; its parts have no files of their own.

    Raises:
        UserError: another model, or one that our parts cannot be.
    """
    _refuse_others(source)
    config = _config(source)
    vision, q_former = config.vision_config, config.qformer_config
    return MiniGPT4Config(
        model_type="custom", behaviour="standard", template=template,
        vision=EvaVitConfig(image_size=vision.image_size, patch_size=vision.patch_size,
                            **{key: getattr(vision, key) for key in SIZES}),
        resampler=QFormerConfig(num_query_tokens=config.num_query_tokens, hidden_act=q_former.hidden_act,
                                cross_attention_frequency=q_former.cross_attention_frequency,
                                dropout=q_former.hidden_dropout_prob,
                                **{key: getattr(q_former, key) for key in SIZES}),
        llm=CausalLMConfig(tokenizer=str(source)),
    )


def language_model_of(source: Path) -> PretrainedConfig:
    """The config of the language model of a Blip2 folder."""
    text: PretrainedConfig = _config(source).text_config
    return text


def remarks_on(source: Path) -> list[str]:
    """What differs between the two, for the report."""
    return [f"the norms of the vision encoder have eps {_config(source).vision_config.layer_norm_eps:.0e} there; here "
            "it is 1e-6, and 1e-5 for the last, as in the original: about 1e-5 of difference in its output"]


def _config(source: Path) -> Any:
    return Blip2Config(**read_json(source / "config.json"))


def _refuse_others(source: Path) -> None:
    """Raise `UserError` for whatever our parts cannot be."""
    where = str(source / "config.json")
    values = read_json(source / "config.json")
    if values.get("model_type") != "blip-2":
        raise UserError("import.kind", where=where, what=f"belongs to a {values.get('model_type')}, not to a blip-2",
                        fix="give a folder of Blip2ForConditionalGeneration")
    text = values.get("text_config") or {}
    if text.get("is_encoder_decoder") or "t5" in str(text.get("model_type")):
        raise UserError("import.encoder_decoder", where=where,
                        what=f"the language model ({text.get('model_type')}) has an encoder and a decoder, and images "
                        "go into its encoder", fix="take a BLIP-2 with OPT, Llama or another causal language model")
    for name, keys in ALLOWED.items():
        for key, allowed in keys.items():
            theirs = (values.get(name) or {}).get(key, allowed[0])
            if theirs not in allowed:
                raise UserError("import.sizes", where=where, fix="this model cannot be imported",
                                what=f"{name}.{key} is {theirs}, our part has {allowed[0]}")
    _refuse_other_pixels(source)


def _refuse_other_pixels(source: Path) -> None:
    file = source / "preprocessor_config.json"
    values = read_json(file) if file.exists() else {}
    for key, ours in (("image_mean", CLIP_MEAN), ("image_std", CLIP_STD)):
        if any(abs(a - b) > 1e-6 for a, b in zip(values.get(key, ours), ours, strict=True)):
            raise UserError("import.pixels", where=str(file), what=f"{key} is {values[key]}, images here have {ours}",
                            fix="this model cannot be imported")


BLIP2 = ForeignForm(
    names={
        "vision.model.": "vision_model.",
        "resampler.query_tokens": "query_tokens",
        "resampler.model.": "qformer.",
        "connector.projection.": "language_projection.",
        "llm.model.": "language_model.",
    },
    section=section_of,
    language_model=language_model_of,
    remarks=remarks_on,
)
