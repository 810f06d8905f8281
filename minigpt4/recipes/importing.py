"""A published checkpoint (`.pth` with a projection, and parts that were trained with it) becomes a bundle.

The language model is looked at tensor by tensor, never held: importing into 13B needs the memory of the vision encoder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from minigpt4.common.config import Config, resolved_yaml
from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_folder
from minigpt4.common.registry import recipes
from minigpt4.models.freezing import freeze
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.recipes.loaded import LoadedModel
from minigpt4.recipes.part_files import empty_language_model, visual_files
from minigpt4.recipes.rendering import behaviour_of, build_tokenizer
from minigpt4.recipes.verification import image_spec
from minigpt4.weights.loading import PartOrigin, load_file
from minigpt4.weights.readers import open_weights


def import_checkpoint(config: Config, target: Path) -> list[str]:
    """Write the bundle of a checkpoint.

    Args:
        config: with a `model:` section whose `ckpt` is the checkpoint and whose parts are those it was trained with.
        target: new folder.

    Returns:
        lines that say what was written.

    Raises:
        UserError: files that do not belong together, or a part without weights.
    """
    if target.exists():
        raise UserError("weights.target_taken", where=str(target), what="exists already", fix="give a new folder")
    place = Path(config.model.ckpt)
    loaded = _put_together(config, place)
    stored = [name for name, origins in loaded.origins.items() if any(one.source == "bundle" for one in origins)]
    with atomic_folder(target) as folder:
        loaded.save_bundle(folder, resolved_config=resolved_yaml(config), stage=loaded.stage, step=0)
    return [*loaded.load_report, f"{target}: {', '.join(stored)} of {place.name}; the other parts are named by their "
            "identities and stay where they are"]


def _put_together(config: Config, place: Path) -> LoadedModel:
    """The model as a bundle wants it: visual parts with weights, the language model known by its file alone."""
    section = config.model
    recipe = recipes.get(section.arch, where="model.arch")
    if section.llm.weights is None:
        raise _no_weights("llm")
    tokenizer = build_tokenizer(section)
    llm, llm_file = empty_language_model(section.llm.weights)
    path = recipe.visual_path(section, llm.width)  # not empty: a norm that no file holds keeps its first values
    model = VisionLanguageModel(path, llm)
    origins: dict[str, list[PartOrigin]] = {}
    lines: list[str] = []
    for opened in visual_files(recipe, section):
        found, told = load_file(opened.plan, opened.file, {name: model.parts()[name] for name in opened.parts})
        _add(origins, found.items())
        lines += told
    found, told = load_file(recipe.checkpoint_plan, open_weights(place), model.parts())
    origins |= {name: [replace(origin, source="bundle")] for name, origin in found.items()}
    for name, part in model.parts().items():
        if name not in origins and name != "llm" and any(True for _ in part.parameters()):
            raise _no_weights(name)
        if getattr(section, name).freeze:
            freeze(part)
    _add(origins, llm_file.identify(model.parts()).items())
    renderer = recipe.renderer(section, tokens_per_image=path.tokens_per_image, tokenizer=tokenizer)
    behaviour = behaviour_of(section)
    spec = image_spec(None, section, behaviour, path.tokens_per_image)
    every = {name: tuple(origins.get(name, [PartOrigin("none")])) for name in model.parts()}
    return LoadedModel(model, renderer, spec, behaviour, section, every, [*lines, *told], f"imported from {place.name}")


def _add(origins: dict[str, list[PartOrigin]], found: Iterable[tuple[str, PartOrigin]]) -> None:
    for name, origin in found:
        origins.setdefault(name, []).append(origin)


def _no_weights(part: str) -> UserError:
    return UserError("config.missing", where=f"model.{part}.weights", what="has no weights, nor has the checkpoint any",
                     fix="give the file that the checkpoint was trained with")
