"""The folder that training writes: trained tensors, and a manifest that says what every part is.

`model.safetensors` holds the parts that cannot be had from a file elsewhere (trained, or random), named `part.key`, and
adapters, named `lora.part.key` (`weights/bundles/adapters.py`).
`manifest.json` holds for every part its identity, last known place and licence, and for the whole what must not change
unseen: tokenizer, template and stops, image, recipe, versions; `config.yaml` the resolved config of the run;
`tokenizer/`, `prompts.txt` and `llm_config.json` what else is needed where the original places are gone.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from minigpt4.common.errors import UserError
from minigpt4.common.files import write_json
from minigpt4.models.language_models.placement import is_placed
from minigpt4.models.language_models.quantized import holds_quantized
from minigpt4.models.lora import base_is_frozen, base_state
from minigpt4.weights.bundles.adapters import NOT_WHOLE, adapter_tensors, manifest_entry
from minigpt4.weights.bundles.licences import UNKNOWN, joined, licence_of
from minigpt4.weights.files.identity import identity_of
from minigpt4.weights.files.readers import open_weights, read_json
from minigpt4.weights.plans.loading import Home, PartOrigin, load_file
from minigpt4.weights.plans.plan import ConversionPlan, Ignorable, Rule

FORMAT = 1
MANIFEST, TENSORS, CONFIG = "manifest.json", "model.safetensors", "config.yaml"
TOKENIZER, PROMPTS, LLM_CONFIG = "tokenizer", "prompts.txt", "llm_config.json"
OTHER_LLM_ALLOWED = "allow_other_llm: true"
"""line of a config.yaml whose run began with the bundle of another language model"""
TOKENIZER_FILES = ("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                   "added_tokens.json")


@dataclass(frozen=True)
class Bundle:
    """An opened bundle folder."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def config_path(self) -> Path:
        return self.folder / CONFIG

    @property
    def stored_parts(self) -> list[str]:
        """Parts whose tensors are in the bundle itself."""
        return [name for name, part in self.manifest["parts"].items() if part["stored"]]

    @property
    def adapted_parts(self) -> list[str]:
        """Parts that have adapters here."""
        return [name for name, part in self.manifest["parts"].items() if "lora" in part]

    @property
    def tensors_path(self) -> Path:
        return self.folder / TENSORS

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
        if OTHER_LLM_ALLOWED in self.config_path.read_text(encoding="utf-8"):
            options.append("model.allow_other_llm=false")  # insisted on then; the bundle has its own one since
        return options

    def check_places(self, given_elsewhere: Sequence[str] = ()) -> None:
        """Refuse a bundle whose frozen parts are gone, before the config is read.

        Args:
            given_elsewhere: parts that the caller points at himself.

        Raises:
            UserError: naming the wanted identity and the key to set.
        """
        for name, part in self.manifest["parts"].items():
            own = part["origins"][0] if part["origins"] else {}
            if own.get("place") and name not in given_elsewhere and not Path(own["place"]).exists():
                raise UserError(
                    "bundle.part_gone",
                    where=str(self.folder),
                    what=f"belongs to the {name} {own['identity'][:12]}, last seen at {own['place']}, "
                    "not there any more",
                    fix=f"give its new place: --options model.{name}.weights=PATH",
                )

    def check_parts(self, names: Sequence[str]) -> None:
        """Raise `UserError` where the bundle stores a part that a model of these parts does not have."""
        absent = sorted(set(self.stored_parts) - set(names))
        if absent:
            raise UserError(
                "bundle.parts", where=str(self.folder),
                what=f"holds the part {', '.join(absent)}, this model has {', '.join(names)}",
                fix="use the config that the bundle was trained with",
            )

    def other_identity(self, part: str, origins: Sequence[PartOrigin]) -> str:
        """What is wrong with a frozen part that is not the one the bundle was trained with, in words; '' if it is."""
        origins_then = self.manifest["parts"].get(part, {}).get("origins", [])
        wanted = [origin for origin in origins_then if origin["identity"]]  # a part without weights has none
        wanted_ids = sorted(origin["identity"] for origin in wanted)
        found_ids = sorted(origin.identity for origin in origins)
        if not wanted_ids or wanted_ids == found_ids:
            return ""
        places = " + ".join(origin["place"] for origin in wanted)
        return (f"was trained with the {part} {_short(wanted_ids)} (last seen at {places}), "
                f"this is {_short(found_ids)} ({' + '.join(origin.place for origin in origins) or 'no file'})")


@dataclass(frozen=True)
class BundleContents:
    """What goes into a bundle.

    Args:
        parts: name -> module.
        origins: where each part came from.
        tokenizer_folder: its files are copied.
        prompts: prompts of training, one a line.
        llm_config: config.json values of the language model.
        about: what the manifest says of the whole model (template, image, tokenizer, …).
    """

    parts: Mapping[str, nn.Module]
    origins: Mapping[str, tuple[PartOrigin, ...]]
    tokenizer_folder: Path
    prompts: Sequence[str]
    llm_config: Mapping[str, Any]
    about: Mapping[str, Any]

    def write(self, folder: Path, *, resolved_config: str, stage: str, step: int) -> None:
        """Write all files; `folder` exists (the caller makes it whole or absent)."""
        tensors = adapter_tensors(self.parts)
        entries = {}
        for name, part in self.parts.items():
            stored = self._is_stored(name, part)
            state = self._state_of(name, part) if stored else {}
            tensors.update({f"{name}.{key}": value for key, value in state.items()})
            entries[name] = {
                "stored": stored,
                "frozen": base_is_frozen(part),
                "identity": identity_of(state) if stored else "",
                "origins": [] if stored else [asdict(origin) for origin in self.origins[name]],
                "licence": _licence(name, self.origins[name]),
                **manifest_entry(part),
            }
        save_file(tensors, folder / TENSORS, metadata={"format": "pt"})
        (folder / CONFIG).write_text(resolved_config, encoding="utf-8")
        self._write_companions(folder, entries)
        write_json(folder / MANIFEST, {"format": FORMAT, "stage": stage, "step": step, **self.about, "parts": entries})

    def _write_companions(self, folder: Path, entries: Mapping[str, Any]) -> None:
        (folder / TOKENIZER).mkdir(exist_ok=True)
        for name in TOKENIZER_FILES:
            if (self.tokenizer_folder / name).exists():
                shutil.copyfile(self.tokenizer_folder / name, folder / TOKENIZER / name)
        if self.prompts:
            (folder / PROMPTS).write_text("\n".join(self.prompts) + "\n", encoding="utf-8")
        if entries["llm"]["stored"]:
            write_json(folder / LLM_CONFIG, dict(self.llm_config))

    def _state_of(self, name: str, part: nn.Module) -> dict[str, Tensor]:
        """What a part keeps; one that is not whole in memory as the bundle that it was read from has it."""
        if is_not_whole(part):
            return self._as_it_was_read(name)
        return _state(part)

    def _as_it_was_read(self, name: str) -> dict[str, Tensor]:
        homes = [origin.place for origin in self.origins[name] if origin.source == "bundle"]
        if not homes:
            raise UserError("bundle.quantized", where=f"model.{name}.quantize", fix=f"set model.{name}.quantize=null",
                            what="is set for weights that are in no file, so there is nothing whole to store")
        file = open_weights(Path(homes[0]) / TENSORS)
        keys = [each for each in file.names if each.startswith(f"{name}.")]
        return {key.removeprefix(f"{name}."): file.load(key) for key in keys}

    def _is_stored(self, name: str, part: nn.Module) -> bool:
        if not any(True for _ in part.state_dict()):
            return False
        return not base_is_frozen(part) or any(origin.source != "file" for origin in self.origins[name])


def is_not_whole(part: Any) -> bool:
    """True for a language model in few bits or spread over devices: frozen, and never written again once read."""
    return holds_quantized(part) or is_placed(getattr(part, "model", part))


def is_bundle(path: str | Path) -> bool:
    """True for a folder that training wrote."""
    return (Path(path) / MANIFEST).exists()


def bundle_in(path: str | Path) -> Path | None:
    """The path itself if it is a bundle, the newest checkpoint if it is a run folder; None for anything else."""
    path = Path(path)
    if is_bundle(path):
        return path
    checkpoints = [each for each in path.glob("checkpoint_*") if is_bundle(each)]
    return max(checkpoints, key=lambda each: int(each.name.rpartition("_")[2]), default=None)


def newest_bundle(folder: str | Path) -> Path:
    """The folder itself if it is a bundle, else the newest checkpoint of a run folder.

    Raises:
        UserError: neither.
    """
    found = bundle_in(folder)
    if found is None:
        raise UserError("bundle.none", where=str(folder), what="is neither a bundle nor a run folder with checkpoints",
                        fix="give the folder that holds manifest.json")
    return found


def open_bundle(folder: str | Path) -> Bundle:
    """Read a bundle's manifest.

    Raises:
        UserError: the folder is no bundle, is incomplete, or is of a newer format.
    """
    folder = Path(folder)
    missing = [name for name in (MANIFEST, TENSORS, CONFIG) if not (folder / name).exists()]
    if missing:
        raise UserError(
            "bundle.incomplete", where=str(folder), what=f"is no bundle: {', '.join(missing)} not there",
            fix="give the folder that training wrote (it holds manifest.json)",
        )
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format", 0) > FORMAT:
        raise UserError("bundle.format", where=str(folder / MANIFEST), fix="update minigpt4",
                        what=f"is of format {manifest['format']}, this version reads up to {FORMAT}")
    return Bundle(folder, manifest)


def load_bundle(bundle: Bundle, parts: Mapping[str, nn.Module], homes: Mapping[str, Home] | None = None
                ) -> tuple[dict[str, PartOrigin], list[str]]:
    """Load those stored parts of a bundle that are asked for; every tensor of theirs is used and every target made.

    Args:
        bundle: an opened bundle.
        parts: modules to fill; those that it does not store are left alone.
        homes: dtype and devices of parts that are empty.

    Returns:
        origin of each part that was filled, and lines of the report.
    """
    wanted = [name for name in bundle.stored_parts if name in parts]
    if not wanted:
        return {}, []
    others = [Ignorable(f"{name}.*", "parts that are read by themselves")
              for name in bundle.stored_parts if name not in parts]
    plan = ConversionPlan("bundle", tuple(Rule(f"{part}.*", (f"{part}.*",)) for part in wanted), (NOT_WHOLE, *others))
    origins, lines = load_file(plan, open_weights(bundle.tensors_path), {name: parts[name] for name in wanted}, homes)
    return {part: PartOrigin("bundle", str(bundle.folder), origin.identity, origin.num_tensors)
            for part, origin in origins.items()}, lines


def _licence(name: str, origins: Sequence[PartOrigin]) -> str | None:
    """What the files beside a part's weights state, also where it was trained further; None for one of random start."""
    stated = []
    for origin in origins:
        if is_bundle(origin.place) and origin.source == "bundle":
            stated.append(open_bundle(origin.place).manifest["parts"].get(name, {}).get("licence", UNKNOWN))
        elif origin.place:
            stated.append(licence_of(origin.place))
    return joined(licence for licence in stated if licence) or None


def _state(part: nn.Module) -> dict[str, Tensor]:
    """What a part keeps, without adapters; a tied tensor under each of its names, as safetensors shares no memory."""
    seen: set[int] = set()
    state = {}
    for key, value in base_state(part).items():
        pointer = value.data_ptr()
        state[key] = value.detach().cpu().contiguous()
        if pointer in seen:
            state[key] = state[key].clone()
        seen.add(pointer)
    return state


def _short(identities: list[str]) -> str:
    return "+".join(identity[:12] or "unknown" for identity in identities)

