"""A published checkpoint (`.pth` with a projection, and parts that were trained with it) becomes a bundle.

The language model is looked at tensor by tensor, never held: importing into 13B needs the memory of the vision encoder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from minigpt4.assembly.build import tokenizer_of
from minigpt4.assembly.language_model import check_language_model
from minigpt4.assembly.load_ledger import LoadLedger
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.assembly.part_files import checkpoint_file, empty_language_model, visual_files
from minigpt4.common.config import Config, resolved_yaml
from minigpt4.common.errors import UserError
from minigpt4.common.files import refuse_taken
from minigpt4.common.registry import systems
from minigpt4.conversation.renderer import Renderer
from minigpt4.models.freezing import freeze
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.weights.bundles.seal import atomic_bundle
from minigpt4.weights.files.sources import Sources
from minigpt4.weights.plans.loading import PartOrigin


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
    refuse_taken(target)
    place = Path(config.model.ckpt)
    loaded = _put_together(config, place)
    stored = [name for name, origins in loaded.origins.items() if any(one.source == "bundle" for one in origins)]
    with atomic_bundle(target) as folder:
        loaded.save_bundle(folder, resolved_config=resolved_yaml(config), stage=loaded.stage, step=0)
    return [*loaded.load_report, f"{target}: {', '.join(stored)} of {place.name}; the other parts are named by their "
            "fingerprints and stay where they are"]


def _put_together(config: Config, place: Path) -> LoadedModel:
    """The model as a bundle wants it: visual parts with weights, the language model known by its file alone."""
    section = config.model
    system = systems.get(section.arch, where="model.arch")
    sources = Sources()
    check_language_model(section.llm, sources)
    tokenizer = tokenizer_of(system, section, sources)
    llm, llm_file = empty_language_model(section.llm, tokenizer, sources)
    path = system.visual_path(section, llm.width)  # not empty: a norm that no file holds keeps its first values
    model = VisionLanguageModel(path, llm)
    parts, ledger = model.parts(), LoadLedger()
    for opened in visual_files(system, section, sources):
        ledger.add(opened.load(parts))
    found, lines = checkpoint_file(system, section, place, sources).load(parts)
    ledger.replace(({name: replace(origin, source="bundle") for name, origin in found.items()}, lines))
    ledger.add((llm_file.fingerprints(parts), []))
    for name, part in parts.items():
        _refuse_random(name, part, ledger)
        if section.parts()[name].freeze:
            freeze(part)
    renderer = Renderer(system.wording(section, tokenizer), tokenizer, path.tokens_per_image)
    spec, behaviour = system.pixels(section), system.behaviour(section)
    origins = {name: tuple(ledger.origins.get(name, [PartOrigin("none")])) for name in parts}
    return LoadedModel(model, renderer, spec, behaviour, section, origins, ledger.lines, f"imported from {place.name}")


def _refuse_random(name: str, part: nn.Module, ledger: LoadLedger) -> None:
    if name not in ledger.origins and any(True for _ in part.parameters()):
        raise UserError("config.missing", where=f"model.{name}.weights", fix="give the file it was trained with",
                        what="is not given, and the checkpoint does not contain this part")
