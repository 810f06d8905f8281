"""A loaded model as a folder for transformers, which is a bundle as well: `minigpt4.load` reads it too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from transformers import AutoTokenizer, GenerationConfig, LlamaTokenizer

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.common.files import refuse_taken
from minigpt4.ecosystem.config import MiniGPT4Config, portable_recipe
from minigpt4.ecosystem.exporting import Check, refuse_unfit, unused_id
from minigpt4.ecosystem.image_processor import MiniGPT4ImageProcessor
from minigpt4.ecosystem.model import MiniGPT4ForConditionalGeneration
from minigpt4.ecosystem.model_card import model_card
from minigpt4.ecosystem.processor import MiniGPT4Processor, template_values
from minigpt4.weights.bundles.places import MANIFEST
from minigpt4.weights.bundles.seal import atomic_bundle
from minigpt4.weights.files.readers import read_json


def export_transformers(loaded: LoadedModel, target: Path, check: Check | None = None) -> list[str]:
    """The whole model, for `AutoModelForImageTextToText` and `AutoProcessor` after `import minigpt4.ecosystem`.

    Args:
        loaded: any model without adapters and quantised weights.
        target: new folder.
        check: looks at the folder before it gets its name.

    Returns:
        lines that say what was written.

    Raises:
        UserError: adapters, quantised weights, no id is left for image placeholders, or `target` is taken; what
            `check` raises.
    """
    refuse_taken(target)
    refuse_unfit(loaded)
    config = config_of(loaded)
    with atomic_bundle(target) as folder:
        _write_bundle(loaded, config, folder)
        config.save_pretrained(folder)
        _generation(loaded).save_pretrained(folder)
        processor_of(loaded).save_pretrained(folder)
        card = model_card(loaded, read_json(folder / MANIFEST), name=target.name)
        (folder / "README.md").write_text(card, encoding="utf-8")
        checked = check(folder) if check else []
    number = sum(len(part.state_dict()) for part in loaded.model.parts().values())
    return [f"{target}: {number} tensors for AutoModelForImageTextToText after 'import minigpt4.ecosystem', and for "
            "minigpt4.load", f"image placeholder: id {config.image_token_id}", *checked]


def config_of(loaded: LoadedModel) -> MiniGPT4Config:
    """config.json of a loaded model."""
    llm = loaded.model.llm.model
    return MiniGPT4Config(
        recipe=portable_recipe(loaded.config), text_config=llm.config.to_dict(), image_token_id=unused_id(loaded),
        architectures=[MiniGPT4ForConditionalGeneration.__name__], dtype=next(llm.parameters()).dtype,
    )


def processor_of(loaded: LoadedModel) -> MiniGPT4Processor:
    """The processor of a loaded model, its tokenizer opened where the model found it."""
    spec = loaded.image_spec
    if spec is None:
        raise UserError("export.text_only", where="--form transformers", what="this model has no visual path",
                        fix="take the language model's own folder")
    images = MiniGPT4ImageProcessor.of(spec)
    folder = loaded.tokenizer_folder
    kind = LlamaTokenizer if (folder / "tokenizer.model").exists() else AutoTokenizer
    tokenizer = kind.from_pretrained(folder, local_files_only=True)
    template = template_values(loaded.renderer.wording, loaded.behaviour.legacy_tokenizer)
    return MiniGPT4Processor(images, tokenizer, template,
                             tokens_per_image=loaded.renderer.tokens_per_image, image_token_id=unused_id(loaded))


def _generation(loaded: LoadedModel) -> GenerationConfig:
    """Greedy, ended by EOS and by the template's stop texts."""
    tokenizer = loaded.tokenizer
    texts = [text for text in loaded.renderer.stops if tokenizer.special_tokens.get(text) != tokenizer.eos_token_id]
    pad = tokenizer.eos_token_id or 0
    values: Mapping[str, Any] = {"stop_strings": texts} if texts else {}
    return GenerationConfig(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                            pad_token_id=pad, do_sample=False, **values)


def _write_bundle(loaded: LoadedModel, config: MiniGPT4Config, folder: Path) -> None:
    """All parts stored, frozen ones too; names and tensors are those that our transformers class has."""
    origins = {name: tuple(replace(origin, source="bundle") for origin in loaded.origins[name])
               if part.state_dict() else loaded.origins[name] for name, part in loaded.model.parts().items()}
    section = yaml.safe_dump({"model": config.recipe}, sort_keys=False, allow_unicode=True, width=120)
    replace(loaded, origins=origins).save_bundle(folder, resolved_config=section, stage=loaded.stage, step=0)
