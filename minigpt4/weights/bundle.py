"""The folder that training writes: trained tensors, and a manifest that says what every part is.

`model.safetensors` holds the parts that cannot be had from a file elsewhere (trained, or random), named `part.key`.
`manifest.json` holds for every part its identity and last known place; `config.yaml` the resolved config of the run.
Its full form (verification, licences, adapters) comes with the weights commands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from minigpt4.common.errors import UserError
from minigpt4.common.files import write_json
from minigpt4.models.freezing import is_frozen
from minigpt4.weights.identity import IdentityHash
from minigpt4.weights.loading import PartOrigin, load_file
from minigpt4.weights.plan import ConversionPlan, Rule
from minigpt4.weights.readers import open_weights, read_json

FORMAT = 1
MANIFEST, TENSORS, CONFIG = "manifest.json", "model.safetensors", "config.yaml"


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

    def check_identity(self, part: str, origins: tuple[PartOrigin, ...]) -> None:
        """Refuse a frozen part that is not the one the bundle was trained with (U3).

        Raises:
            UserError: naming both identities, the wanted one's last known place, and the key to set.
        """
        wanted = self.manifest["parts"].get(part, {}).get("origins", [])
        wanted_ids = sorted(origin["identity"] for origin in wanted)
        found_ids = sorted(origin.identity for origin in origins)
        if wanted_ids and wanted_ids != found_ids:
            places = " + ".join(origin["place"] for origin in wanted)
            raise UserError(
                "bundle.identity", where=str(self.folder),
                what=f"was trained with the {part} {_short(wanted_ids)} (last seen at {places}), "
                f"this is {_short(found_ids)} ({' + '.join(origin.place for origin in origins)})",
                fix=f"point model.{part}.weights at the right one",
            )


class BundleWriter:
    """Writes the parts of a model as a bundle.

    Args:
        parts: name -> module.
        origins: where each part came from.
    """

    def __init__(self, parts: Mapping[str, nn.Module], origins: Mapping[str, tuple[PartOrigin, ...]]) -> None:
        self.parts = parts
        self.origins = origins

    def write(self, folder: Path, *, resolved_config: str, stage: str, step: int, about: Mapping[str, Any]) -> None:
        """Write the three files; `folder` exists (the caller makes it whole or absent)."""
        tensors: dict[str, Tensor] = {}
        entries = {}
        for name, part in self.parts.items():
            stored = self._is_stored(name, part)
            state = _state(part) if stored else {}
            tensors.update({f"{name}.{key}": value for key, value in state.items()})
            entries[name] = {
                "stored": stored,
                "frozen": is_frozen(part),
                "identity": _identity(state) if stored else "",
                "origins": [] if stored else [asdict(origin) for origin in self.origins[name]],
            }
        save_file(tensors, folder / TENSORS, metadata={"format": "pt"})
        (folder / CONFIG).write_text(resolved_config, encoding="utf-8")
        manifest = {"format": FORMAT, "stage": stage, "step": step, **about, "parts": entries}
        write_json(folder / MANIFEST, manifest)

    def _is_stored(self, name: str, part: nn.Module) -> bool:
        if not any(True for _ in part.state_dict()):
            return False
        return not is_frozen(part) or any(origin.source != "file" for origin in self.origins[name])


def is_bundle(path: str | Path) -> bool:
    """True for a folder that training wrote."""
    return (Path(path) / MANIFEST).exists()


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


def load_bundle(bundle: Bundle, parts: Mapping[str, nn.Module]) -> tuple[dict[str, PartOrigin], list[str]]:
    """Load the stored parts of a bundle; every tensor is used and every target made."""
    plan = ConversionPlan("bundle", tuple(Rule(f"{part}.*", (f"{part}.*",)) for part in bundle.stored_parts))
    stored = {name: part for name, part in parts.items() if name in bundle.stored_parts}
    absent = sorted(set(bundle.stored_parts) - set(parts))
    if absent:
        raise UserError("bundle.parts", where=str(bundle.folder), what=f"holds the part {', '.join(absent)}, this model "
                        f"has {', '.join(parts)}", fix="use the config that the bundle was trained with")
    origins, lines = load_file(plan, open_weights(bundle.folder / TENSORS), stored)
    return {part: PartOrigin("bundle", str(bundle.folder), origin.identity, origin.num_tensors)
            for part, origin in origins.items()}, lines


def _state(part: nn.Module) -> dict[str, Tensor]:
    """What a part keeps; a tied tensor under each of its names, since safetensors refuses shared memory."""
    seen: set[int] = set()
    state = {}
    for key, value in part.state_dict().items():
        pointer = value.data_ptr()
        state[key] = value.detach().cpu().contiguous()
        if pointer in seen:
            state[key] = state[key].clone()
        seen.add(pointer)
    return state


def _identity(state: Mapping[str, Tensor]) -> str:
    collected = IdentityHash()
    for key, value in state.items():
        collected.add(key, value)
    return collected.hexdigest()


def _short(identities: list[str]) -> str:
    return "+".join(identity[:12] or "unknown" for identity in identities)


def describe_manifest(bundle: Bundle) -> str:
    """The manifest as readable JSON."""
    return json.dumps(bundle.manifest, indent=1, ensure_ascii=False)
