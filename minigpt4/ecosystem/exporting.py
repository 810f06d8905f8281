"""A loaded model in the forms of other projects: what `weights export` needs to know about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.common.files import refuse_taken
from minigpt4.common.registry import systems
from minigpt4.ecosystem.foreign_files import Check, write_blip2, write_original
from minigpt4.models.language_models.quantized import is_quantized
from minigpt4.models.lora import adapters_of
from minigpt4.systems.contract import ForeignForm
from minigpt4.weights.bundles.bundle import TOKENIZER_FILES


def export_original(loaded: LoadedModel, target: Path, check: Check | None = None) -> list[str]:
    """The trained parts as a checkpoint of the original (`ckpt:` of its YAMLs).

    Raises:
        UserError: nothing was trained, a part that the original never saved, or adapters.
    """
    _refuse_adapters(loaded)
    trained = [name for name, origins in loaded.origins.items()
               if name != "llm" and any(origin.source in ("bundle", "random") for origin in origins)]
    trained += ["connector"] if "connector" not in trained else []
    plan = systems.get(loaded.config.arch).checkpoint_plan
    return write_original(plan, loaded.model.parts(), trained, target, check)


def export_blip2(loaded: LoadedModel, target: Path, check: Check | None = None) -> list[str]:
    """The whole model as a folder of transformers' Blip2.

    Raises:
        UserError: parts that BLIP-2 does not have, adapters, no id is left for its placeholder, or `target` is taken.
    """
    refuse_taken(target)
    refuse_unfit(loaded)
    form = _form(loaded, "blip2")
    spec, tokenizer = loaded.image_spec, loaded.tokenizer
    assert spec is not None, "parts of BLIP-2 read images"
    files = [loaded.tokenizer_folder / name for name in TOKENIZER_FILES if (loaded.tokenizer_folder / name).exists()]
    return write_blip2(
        loaded.model.parts(), form.names, image_token_id=unused_id(loaded), template=loaded.renderer.chat.name,
        tokenizer_files=files, image_size=spec.size, mean=spec.mean, std=spec.std, target=target, check=check,
    ) + [f"image placeholder: id {unused_id(loaded)}; prompts begin with BOS {tokenizer.bos_token_id}"]


def _form(loaded: LoadedModel, name: str) -> ForeignForm:
    forms: Mapping[str, ForeignForm] = systems.get(loaded.config.arch).forms
    if name not in forms:
        raise UserError("export.form", where=f"--form {name}", what=f"is not a form of {loaded.config.arch}",
                        fix=f"use {' or '.join(['original', 'transformers', *forms])}")
    return forms[name]


def refuse_unfit(loaded: LoadedModel) -> None:
    """Raise `UserError` for a whole model that no other code could read: adapters, quantised weights."""
    _refuse_adapters(loaded)
    if any(is_quantized(layer) for layer in loaded.model.llm.modules()):
        raise UserError("export.quantized", where="model.llm.quantize", what="is set, and quantised weights are not "
                        "exported", fix="load the model with --options model.llm.quantize=null")


def _refuse_adapters(loaded: LoadedModel) -> None:
    for name, part in loaded.model.parts().items():
        if adapters_of(part):
            raise UserError("export.adapters", where=f"model.{name}.lora", what="is set, and adapters are not exported",
                            fix="merge them first: minigpt4 weights merge")


def unused_id(loaded: LoadedModel) -> int:
    """An id of the embedding that no text has: a row beyond the tokenizer's, [PAD] of Vicuna v0, else `<unk>`."""
    tokenizer = loaded.tokenizer
    if loaded.vocab_size > tokenizer.vocab_size:
        return loaded.vocab_size - 1
    for name in ("[PAD]", "<pad>", "<unk>"):
        if name in tokenizer.special_tokens:
            return tokenizer.special_tokens[name]
    raise UserError("export.no_id", where="tokenizer", what="every id can occur in a text, none is left for images",
                    fix="add a row to the language model's vocabulary")
