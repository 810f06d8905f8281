"""A standard `Blip2ForConditionalGeneration` folder becomes a bundle: `weights export --form blip2`, the other way.

All sizes are read from its config.json. What the form cannot say (template, behaviour) is given or standard.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from minigpt4.assembly.build import system_of, tokenizer_of
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config.write import plain
from minigpt4.common.files import refuse_taken
from minigpt4.common.registry import systems
from minigpt4.conversation.renderer import Renderer
from minigpt4.models.language_models.causal_lm import CausalLM
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.systems.config import SystemConfig
from minigpt4.systems.contract import LANGUAGE_MODEL_PREFIX, ForeignForm
from minigpt4.weights.bundles.seal import atomic_bundle
from minigpt4.weights.files.readers import open_weights
from minigpt4.weights.files.sources import Sources
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.language_model import empty_model, language_model_plan
from minigpt4.weights.plans.loading import PartOrigin, load_file
from minigpt4.weights.plans.plan import ConversionPlan, PlanOf, Rule

ARCH, FORM = "minigpt4", "blip2"


def form_plan(form: ForeignForm, llm: CausalLM) -> PlanOf:
    """Tensors of a folder in a foreign form -> our parts: the form's names, read backwards."""
    visual = {ours: theirs for ours, theirs in form.names.items() if ours != LANGUAGE_MODEL_PREFIX}
    rest = {ours: "*" if ours.endswith(".") else "" for ours in visual}
    rules = tuple(Rule(ours + rest[ours], (theirs + rest[ours],)) for ours, theirs in visual.items())

    def plan(file: TensorFile) -> ConversionPlan:
        words = language_model_plan(llm.model, form.names[LANGUAGE_MODEL_PREFIX])(file)
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
    form: ForeignForm = systems.get(ARCH).forms[FORM]
    section = form.section(source, template)
    loaded = _loaded(source, form, section)
    with atomic_bundle(target) as folder:
        text = yaml.safe_dump({"model": plain(section)}, sort_keys=False, allow_unicode=True, width=120)
        loaded.save_bundle(folder, resolved_config=text, stage=f"imported from {source.name}", step=0)
    return [
        *loaded.load_report,
        f"{target}: a bundle with template {template} (the Blip2 form has none); prompts begin with BOS "
        f"{loaded.tokenizer.bos_token_id}, then come template and image",
        *form.remarks(source),
    ]


def _loaded(source: Path, form: ForeignForm, section: SystemConfig) -> LoadedModel:
    system, file = system_of(section), open_weights(source)
    llm = empty_model(form.language_model(source).to_dict(), file, where=str(source / "config.json"),
                      prefix=form.names[LANGUAGE_MODEL_PREFIX])
    path = system.visual_path(section, llm.width)
    model = VisionLanguageModel(path, llm)
    origins, lines = load_file(form_plan(form, llm), file, model.parts())
    llm.model.tie_weights()
    tokenizer = tokenizer_of(system, section, Sources())
    renderer = Renderer(system.wording(section, tokenizer), tokenizer, path.tokens_per_image if path else 0)
    stored = {name: (PartOrigin("bundle", str(source), origin.fingerprint, origin.num_tensors),)
              for name, origin in origins.items()}
    return LoadedModel(model, renderer, system.pixels(section), system.behaviour(section), section, stored, lines)
