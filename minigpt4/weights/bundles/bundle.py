"""The folder that training writes: trained tensors, and a manifest that says what every part is.

`model.safetensors`, or shards and their index, holds the parts that no other file provides (trained, or
random), named `part.key`, and adapters, named `lora.part.key` (`weights/bundles/adapters.py`).
`manifest.json` holds for every part its fingerprint, last known place and licence, and for the whole what must not
change unseen: tokenizer, template and stops, image, recipe, versions; `config.yaml` the resolved config of the run;
`tokenizer/`, `prompts.txt` and `llm_config.json` what else is needed where the original places are gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from minigpt4.common.config.paths import place_of
from minigpt4.common.errors import UserError
from minigpt4.models.language_models.placement import is_placed
from minigpt4.models.language_models.quantized import holds_quantized
from minigpt4.weights.bundles.adapters import NOT_WHOLE
from minigpt4.weights.bundles.manifest import Manifest, read_manifest
from minigpt4.weights.bundles.places import MANIFEST
from minigpt4.weights.files.shard_writer import INDEX
from minigpt4.weights.files.sources import Sources
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.loading import Destination, PartOrigin, load_file
from minigpt4.weights.plans.plan import ConversionPlan, Ignorable, Rule

TENSORS, CONFIG = "model.safetensors", "config.yaml"
TOKENIZER, PROMPTS, LLM_CONFIG = "tokenizer", "prompts.txt", "llm_config.json"
TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                   "added_tokens.json", "chat_template.jinja")
NOT_LOADED = ("state.pt", "optimizer", "README.md", ".gitattributes")
"""files that may be left out or changed without harm to what is loaded: a run's state, words for people"""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle folder; its tensors are opened when they are first asked for, by what opened the rest."""

    folder: Path
    manifest: Manifest
    sources: Sources = field(repr=False, compare=False)

    @property
    def config_path(self) -> Path:
        return self.folder / CONFIG

    @property
    def stored_parts(self) -> list[str]:
        """Parts whose tensors are in the bundle itself."""
        return [name for name, part in self.manifest.parts.items() if part.stored]

    @property
    def adapted_parts(self) -> list[str]:
        """Parts that have adapters here."""
        return [name for name, part in self.manifest.parts.items() if part.lora is not None]

    @property
    def file(self) -> TensorFile:
        """All its tensors, of whatever number of files. Raises `UserError` where they cannot be opened."""
        return self.sources.weights(self.folder)

    @property
    def llm_config_path(self) -> Path:
        """config.json values of a language model that is stored here."""
        return self.folder / LLM_CONFIG

    def options(self) -> list[str]:
        """Config changes that make the bundle's own config read everything from the bundle that it holds."""
        options = [f"model.ckpt={self.folder}", f"model.llm.tokenizer={self.folder / TOKENIZER}"]
        options += [f"model.{part}.weights=null" for part in self.stored_parts]
        if (self.folder / PROMPTS).exists():
            options.append(f"model.prompt_path={self.folder / PROMPTS}")
        options.append("model.allow_other_llm=false")  # if insisted on then, the bundle has its own one since
        return options

    def check_places(self, given_elsewhere: Sequence[str] = ()) -> None:
        """Refuse a bundle whose frozen parts are gone, before the config is read.

        Args:
            given_elsewhere: parts that the caller points at himself.

        Raises:
            UserError: naming the wanted fingerprint and the key to set.
        """
        for name, part in self.manifest.parts.items():
            own = part.origins[0] if part.origins else None
            if own is not None and own.place and name not in given_elsewhere and not place_of(own.place).exists():
                raise UserError(
                    "bundle.part_gone",
                    where=str(self.folder),
                    what=f"belongs to the {name} {own.identity[:12]}, last seen at {own.place}, "
                    "no longer there",
                    fix=f"give its new place: --options model.{name}.weights=PATH",
                )

    def check_parts(self, names: Sequence[str]) -> None:
        """Raise `UserError` if the bundle says nothing of one of these parts of a model, or stores another one."""
        known = {name for name, entry in self.manifest.parts.items() if entry.stored or entry.origins}
        unnamed = sorted(set(names) - known)
        if unnamed:
            raise UserError("bundle.parts", where=str(self.folder / MANIFEST), fix="take another copy of the bundle",
                            what=f"does not say where the part {', '.join(unnamed)} is, which would begin at random")
        absent = sorted(set(self.stored_parts) - set(names))
        if absent:
            raise UserError(
                "bundle.parts", where=str(self.folder),
                what=f"contains the part {', '.join(absent)}, this model has {', '.join(names)}",
                fix="use the config that the bundle was trained with",
            )

    def other_fingerprint(self, part: str, origins: Sequence[PartOrigin]) -> str:
        """What is wrong with a frozen part that is not the one the bundle was trained with, in words; '' if it is."""
        entry = self.manifest.parts.get(part)
        wanted = [origin for origin in entry.origins if origin.identity] if entry else []  # without weights: none
        wanted_ids = sorted(origin.identity for origin in wanted)
        found_ids = sorted(origin.fingerprint for origin in origins)
        if not wanted_ids or wanted_ids == found_ids:
            return ""
        places = " + ".join(origin.place for origin in wanted)
        return (f"was trained with the {part} {_short(wanted_ids)} (last seen at {places}), "
                f"this is {_short(found_ids)} ({' + '.join(origin.place for origin in origins) or 'no file'})")


def is_not_whole(part: nn.Module) -> bool:
    """True for a language model in few bits or spread over devices: frozen, and never written again once read."""
    return holds_quantized(part) or is_placed(getattr(part, "model", part))


def open_bundle(folder: str | Path, sources: Sources | None = None) -> Bundle:
    """Read a bundle's manifest.

    Args:
        folder: the bundle.
        sources: opens its files; by default its own.

    Raises:
        UserError: the folder is not a bundle, is incomplete, or is in a newer format.
    """
    folder, sources = Path(folder), sources or Sources()
    tensors = INDEX if (folder / INDEX).exists() else TENSORS
    missing = [name for name in (MANIFEST, tensors, CONFIG) if not (folder / name).exists()]
    if missing:
        raise UserError(
            "bundle.incomplete", where=str(folder), what=f"is not a bundle: {', '.join(missing)} missing",
            fix="give the folder that training wrote (it contains manifest.json)",
        )
    manifest = read_manifest(sources.json(folder / MANIFEST), folder / MANIFEST)
    _check_sizes(folder, manifest)
    return Bundle(folder, manifest, sources)


def _check_sizes(folder: Path, manifest: Manifest) -> None:
    """Raise `UserError` if a file is not there or has another size than when the bundle was written."""
    for name, size in manifest.files.items():
        path = folder / name
        if name.partition("/")[0] in NOT_LOADED:
            continue
        if not path.is_file():
            raise UserError("bundle.incomplete", where=str(folder), what=f"{name} is missing, which its manifest lists",
                            fix="copy the whole bundle again")
        if path.stat().st_size != size:
            raise UserError("bundle.size", where=str(path), what=f"has {path.stat().st_size:,} bytes, its manifest "
                            f"says {size:,}", fix="copy the bundle again, or, if you changed it yourself, accept it: "
                            f"minigpt4 weights verify --write-sums {folder}")


def load_bundle(bundle: Bundle, parts: Mapping[str, nn.Module], destinations: Mapping[str, Destination] | None = None
                ) -> tuple[dict[str, PartOrigin], list[str]]:
    """Load the requested parts that a bundle stores; each of their tensors is used and every target is filled.

    Args:
        bundle: an opened bundle.
        parts: modules to fill; those that it does not store are left alone.
        destinations: dtype and devices of parts that are empty.

    Returns:
        origin of each part that was filled, and lines of the report.
    """
    wanted = [name for name in bundle.stored_parts if name in parts]
    if not wanted:
        return {}, []
    others = [Ignorable(f"{name}.*", "parts that are read by themselves")
              for name in bundle.stored_parts if name not in parts]
    plan = ConversionPlan("bundle", tuple(Rule(f"{part}.*", (f"{part}.*",)) for part in wanted), (NOT_WHOLE, *others))
    origins, lines = load_file(plan, bundle.file, {name: parts[name] for name in wanted}, destinations)
    for part, origin in origins.items():
        _refuse_other_weights(bundle, part, origin.fingerprint)
    return {part: PartOrigin("bundle", str(bundle.folder), origin.fingerprint, origin.num_tensors)
            for part, origin in origins.items()}, lines


def _short(fingerprints: list[str]) -> str:
    return "+".join(fingerprint[:12] or "unknown" for fingerprint in fingerprints)


def _refuse_other_weights(bundle: Bundle, part: str, fingerprint: str) -> None:
    """Raise `UserError` if a stored part is not the one that the manifest names, as with a shard of another bundle."""
    wanted = bundle.manifest.parts[part].identity
    if wanted and wanted != fingerprint:
        raise UserError("bundle.identity", where=str(bundle.folder), fix="copy the whole bundle again",
                        what=f"its {part} is {fingerprint[:12]}, the manifest names {wanted[:12]}: files of different "
                        "bundles stand together")
