"""`weights verify` of a bundle beyond its own files: is its config readable, are its parts still in place?"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from minigpt4.assembly.build import tokenizer_of
from minigpt4.assembly.part_files import PartFile, empty_language_model, empty_visual_parts, visual_files
from minigpt4.common.config import load_fragment
from minigpt4.common.config.paths import place_of
from minigpt4.common.config.trust import downloaded
from minigpt4.common.errors import UserError
from minigpt4.common.registry import systems
from minigpt4.systems.config import SystemConfig
from minigpt4.systems.contract import System
from minigpt4.weights.bundles.bundle import Bundle
from minigpt4.weights.files.sources import Sources

CONNECTOR, LANGUAGE_MODEL = "connector", "llm"


def verify_surroundings(bundle: Bundle, *, allow_imports: bool = False) -> list[str]:
    """Read the bundle's config, and hold the files of its frozen parts against the fingerprints of the manifest.

    Args:
        bundle: an opened bundle.
        allow_imports: run the modules that its config names.

    Returns:
        a line per check that was passed, and per place that is gone.

    Raises:
        UserError: modules for which consent is missing; a config that cannot be read; a file that is not the one the
            bundle was trained with.
    """
    config = load_fragment(bundle.config_path, bundle.options(),
                           trust=downloaded(allow_imports=allow_imports)).model
    if config is None:
        raise UserError("config.missing", where=str(bundle.config_path), what="has no section 'model'",
                        fix="take another copy of the bundle")
    system = systems.get(config.arch, where=f"{bundle.config_path}: model.arch")
    lines = [f"{bundle.config_path.name} can be read"]
    parts, files = _parts_and_files(system, config)
    for opened in files:
        lines += _compare(bundle, opened, parts)
    return lines + [f"{name}: {place} is not there, not checked" for name, place in _gone(bundle)]


def _parts_and_files(system: System[SystemConfig], config: SystemConfig) -> tuple[dict[str, nn.Module], list[PartFile]]:
    """The parts, empty, and those of their files that are there."""
    sources = Sources()
    absent = {name for name, part in config.parts().items() if not place_of(part.weights or "").exists()}
    if not config.llm.weights or not place_of(config.llm.weights).exists():
        files = visual_files(system, config, sources, leave_out={*absent, CONNECTOR})  # of unknown width
        return empty_visual_parts(system, config), list(files)
    llm, llm_file = empty_language_model(config.llm, tokenizer_of(system, config, sources), sources)
    files = visual_files(system, config, sources, leave_out=absent)
    return {**empty_visual_parts(system, config, llm.width), LANGUAGE_MODEL: llm}, [*files, llm_file]


def _compare(bundle: Bundle, opened: PartFile, parts: Mapping[str, nn.Module]) -> list[str]:
    """A part that the bundle stores, or that came without a file, has no fingerprint to compare with."""
    lines = []
    for name, origin in opened.fingerprints(parts).items():
        wanted = [each.identity for each in bundle.manifest.parts[name].origins if each.identity]
        if wanted and origin.fingerprint not in wanted:
            raise UserError(
                "bundle.identity", where=str(bundle.folder),
                what=f"was trained with the {name} {' + '.join(each[:12] for each in wanted)}, {opened.file.path} is "
                f"{origin.fingerprint[:12]}", fix="put the right file back",
            )
        if wanted:
            lines.append(f"{name}: {opened.file.path} is {origin.fingerprint[:12]}, the one of training by a sample of "
                         "its values")
    return lines


def _gone(bundle: Bundle) -> list[tuple[str, str]]:
    origins = [(name, origin) for name, part in bundle.manifest.parts.items() for origin in part.origins]
    return [(name, origin.place) for name, origin in origins if origin.place and not place_of(origin.place).exists()]
