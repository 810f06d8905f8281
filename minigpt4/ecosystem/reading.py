"""A folder that transformers wrote (`save_pretrained`, one of its trainers) becomes a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from minigpt4.assembly.build import tokenizer_of
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.common.files import refuse_taken
from minigpt4.common.registry import systems
from minigpt4.conversation.renderer import Renderer
from minigpt4.ecosystem.config import MiniGPT4Config
from minigpt4.ecosystem.model import MiniGPT4ForConditionalGeneration
from minigpt4.weights.bundles.seal import atomic_bundle
from minigpt4.weights.files.readers import read_json
from minigpt4.weights.files.sources import Sources
from minigpt4.weights.files.tensor_file import some_names
from minigpt4.weights.plans.loading import PartOrigin


def import_transformers(source: Path, target: Path) -> list[str]:
    """Write a bundle that holds all of a folder of `MiniGPT4ForConditionalGeneration`.

    Args:
        source: model and processor as `save_pretrained` wrote them, in shards or not.
        target: new folder.

    Returns:
        lines that say what was written.

    Raises:
        UserError: another model, tensors that are missing, or `target` is taken.
    """
    refuse_taken(target)
    kind = read_json(source / "config.json").get("model_type")
    if kind != MiniGPT4Config.model_type:
        raise UserError("import.kind", where=str(source / "config.json"),
                        what=f"belongs to a {kind}, not to a minigpt4",
                        fix="give a folder of MiniGPT4ForConditionalGeneration, or use import-blip2 for a Blip2")
    opened: Any = MiniGPT4ForConditionalGeneration.from_pretrained(source, output_loading_info=True)
    model, found = opened
    if missing := sorted(found["missing_keys"]):
        raise UserError("weights.keys", where=str(source), what=f"lacks {some_names(missing)}",
                        fix="save the whole model: model.save_pretrained")
    with atomic_bundle(target) as folder:
        section = yaml.safe_dump({"model": model.config.recipe}, sort_keys=False, allow_unicode=True, width=120)
        loaded = _loaded(model, source)
        loaded.save_bundle(folder, resolved_config=section, stage=f"imported from {source.name}", step=0)
    return [f"{target}: a bundle of all parts, template {loaded.renderer.training.name}"]


def _loaded(model: MiniGPT4ForConditionalGeneration, source: Path) -> LoadedModel:
    """The same parts as training and chat hold them; a bundle stores every one."""
    section = model.config.section()
    section = replace(section, llm=replace(section.llm, tokenizer=str(source)))
    parts, system = model.parts, systems.get(section.arch)
    assert parts.visual_path is not None
    tokens = parts.visual_path.tokens_per_image
    tokenizer = tokenizer_of(system, section, Sources())
    renderer = Renderer(system.wording(section, tokenizer), tokenizer, tokens)
    origins = {name: (PartOrigin("bundle" if part.state_dict() else "none", str(source)),)
               for name, part in parts.parts().items()}
    return LoadedModel(parts, renderer, system.pixels(section), system.behaviour(section), section, origins)
