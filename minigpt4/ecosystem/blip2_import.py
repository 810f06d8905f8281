"""A standard `Blip2ForConditionalGeneration` folder becomes a bundle: `weights export --form blip2`, the other way.

All sizes are read from its config.json. What the form cannot say (template, behaviour) is given or standard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from transformers import Blip2Config

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config.write import plain
from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_folder, refuse_taken
from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.ecosystem.foreign_files import BLIP2_PREFIXES
from minigpt4.models.language_models.causal_lm import CausalLM, CausalLMConfig
from minigpt4.models.resamplers.q_former import QFormerConfig
from minigpt4.models.vision.eva_vit import EvaVitConfig
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.records.images import CLIP_MEAN, CLIP_STD
from minigpt4.systems.minigpt4.config import MiniGPT4Config
from minigpt4.systems.minigpt4.system import MiniGPT4
from minigpt4.systems.minigpt4.wording import behaviour_of
from minigpt4.weights.files.readers import open_weights, read_json
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.language_model import empty_model, language_model_plan
from minigpt4.weights.plans.loading import PartOrigin, load_file
from minigpt4.weights.plans.plan import ConversionPlan, PlanOf, Rule

LANGUAGE_MODEL = BLIP2_PREFIXES["llm.model."]
ALLOWED: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "vision_config": {"layer_norm_eps": (1e-6, 1e-5), "hidden_act": ("gelu",), "qkv_bias": (True,)},
    "qformer_config": {"layer_norm_eps": (1e-12,), "use_qformer_text_input": (False,)},
}
"""what eva_vit and q_former are built with, ours first; the vision encoder has both epsilons, as the original"""


def blip2_plan(llm: CausalLM) -> PlanOf:
    """Tensors of a Blip2 folder -> our parts: the names of `BLIP2_PREFIXES`, read backwards."""
    visual = {ours: theirs for ours, theirs in BLIP2_PREFIXES.items() if not ours.startswith("llm.")}
    rest = {ours: "*" if ours.endswith(".") else "" for ours in visual}
    rules = tuple(Rule(ours + rest[ours], (theirs + rest[ours],)) for ours, theirs in visual.items())

    def plan(file: TensorFile) -> ConversionPlan:
        words = language_model_plan(llm.model, LANGUAGE_MODEL)(file)
        return replace(words, name="Blip2 folder", rules=rules + words.rules)

    return plan


def import_blip2(source: Path, target: Path, *, template: str = "plain") -> list[str]:
    """Write a bundle that holds all of a Blip2 folder.

    Args:
        source: what `Blip2ForConditionalGeneration.save_pretrained` and its tokenizer wrote.
        target: new folder.
        template: conversation template of the bundle, by name.

    Returns:
        lines that say what was written, and what differs.

    Raises:
        UserError: another model, a language model with an encoder of its own, tensors that do not fit, or `target` is
            taken.
    """
    refuse_taken(target)
    values = read_json(source / "config.json")
    _refuse_others(source, values)
    config: Any = Blip2Config(**values)
    section = _section(source, config, template)
    loaded = _loaded(source, config, section)
    with atomic_folder(target) as folder:
        text = yaml.safe_dump({"model": plain(section)}, sort_keys=False, allow_unicode=True, width=120)
        loaded.save_bundle(folder, resolved_config=text, stage=f"imported from {source.name}", step=0)
    return [
        *loaded.load_report,
        f"{target}: a bundle with template {template} (the Blip2 form has none); prompts begin with BOS "
        f"{loaded.tokenizer.bos_token_id}, then come template and image",
        f"the norms of the vision encoder have eps {config.vision_config.layer_norm_eps:.0e} there; here it is 1e-6, "
        "and 1e-5 for the last, as in the original: about 1e-5 of difference in its output",
    ]


def _refuse_others(source: Path, values: Mapping[str, Any]) -> None:
    """Raise `UserError` for whatever our parts cannot be."""
    where = str(source / "config.json")
    if values.get("model_type") != "blip-2":
        raise UserError("import.kind", where=where, what=f"is of a {values.get('model_type')}, not of a blip-2",
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
            raise UserError("import.pixels", where=str(file), what=f"{key} is {values[key]}, our images have {ours}",
                            fix="this model cannot be imported")


def _section(source: Path, config: Any, template: str) -> MiniGPT4Config:
    """The `model:` section with the folder's sizes; its parts have no files of their own."""
    vision, q_former = config.vision_config, config.qformer_config
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    return MiniGPT4Config(
        model_type="custom", behaviour="standard", template=template,
        vision=EvaVitConfig(image_size=vision.image_size, patch_size=vision.patch_size,
                            **{key: getattr(vision, key) for key in sizes}),
        resampler=QFormerConfig(num_query_tokens=config.num_query_tokens, hidden_act=q_former.hidden_act,
                                cross_attention_frequency=q_former.cross_attention_frequency,
                                dropout=q_former.hidden_dropout_prob,
                                **{key: getattr(q_former, key) for key in sizes}),
        llm=CausalLMConfig(tokenizer=str(source)),
    )


def _loaded(source: Path, config: Any, section: MiniGPT4Config) -> LoadedModel:
    file = open_weights(source)
    llm = empty_model(config.text_config.to_dict(), file, where=str(source / "config.json"), prefix=LANGUAGE_MODEL)
    path = MiniGPT4.visual_path(section, llm.width)
    model = VisionLanguageModel(path, llm)
    origins, lines = load_file(blip2_plan(llm), file, model.parts())
    llm.model.tie_weights()
    tokenizer = open_tokenizer(section.llm.tokenizer_folder())
    renderer = Renderer(MiniGPT4.wording(section, tokenizer), tokenizer, path.tokens_per_image)
    stored = {name: (PartOrigin("bundle", str(source), origin.fingerprint, origin.num_tensors),)
              for name, origin in origins.items()}
    return LoadedModel(model, renderer, MiniGPT4.pixels(section), behaviour_of(section), section, stored, lines)
