"""A bundle for people (`weights info`), and its own files held against its manifest (`weights verify`)."""

from __future__ import annotations

from minigpt4.common.config.layers import read_yaml
from minigpt4.common.errors import UserError
from minigpt4.weights.bundles.adapters import PREFIX
from minigpt4.weights.bundles.bundle import TOKENIZER, Bundle
from minigpt4.weights.bundles.manifest import Manifest, PartEntry
from minigpt4.weights.bundles.tokenizer_fingerprint import TokenizerFingerprint, fingerprint_of_tokenizer
from minigpt4.weights.files.disk import as_gigabytes
from minigpt4.weights.files.fingerprint import FingerprintHash
from minigpt4.weights.files.tensor_file import TensorFile


def describe_bundle(bundle: Bundle) -> list[str]:
    """What a bundle says of itself; what an older one does not say is left out."""
    manifest = bundle.manifest
    size = as_gigabytes(bundle.file.num_bytes)
    lines = [f"bundle of {manifest.stage or 'no stage'}, step {manifest.step}: {size} of its own tensors"]
    lines += _describe_whole(manifest)
    lines += [f"  {name}: {_describe_part(part)}" for name, part in manifest.parts.items()]
    return lines + _imports(bundle) + _licences(manifest)


def verify_bundle_tensors(bundle: Bundle) -> list[str]:
    """Compare stored tensors, adapters and tokenizer with the fingerprints of the manifest.

    Returns:
        a line per check that was passed.

    Raises:
        UserError: the first that was not.
    """
    file = bundle.file
    parts = bundle.manifest.parts
    stored = {name: parts[name].identity for name in bundle.stored_parts}
    adapted = {f"{PREFIX}{name}": part.lora.identity for name, part in parts.items() if part.lora is not None}
    sampled = sum(_compare_tensors(file, prefix, wanted) for prefix, wanted in {**stored, **adapted}.items())
    lines = [f"{', '.join([*stored, *adapted]) or 'no part'}: {sampled:,} values sampled, as the manifest says"]
    tokenizer = bundle.manifest.tokenizer
    if tokenizer is None:
        return lines
    wanted_tokenizer = TokenizerFingerprint(tokenizer.identity, tokenizer.vocab_size, tokenizer.place)
    found = fingerprint_of_tokenizer(bundle.folder / TOKENIZER)
    if found.fingerprint != wanted_tokenizer.fingerprint:
        raise UserError("bundle.tokenizer", where=str(bundle.folder / TOKENIZER), what=f"is not {wanted_tokenizer}",
                        fix="copy that tokenizer's files there, or take another copy of the bundle")
    return [*lines, f"tokenizer of {found.vocab_size} ids, the one that the manifest names"]


def _compare_tensors(file: TensorFile, prefix: str, wanted: str) -> int:
    """Number of values that were compared."""
    collected = FingerprintHash()
    for name in file.names:
        if name.startswith(f"{prefix}."):
            collected.add(name.removeprefix(f"{prefix}."), file.load(name))
    found = collected.hexdigest()
    if found != wanted:
        raise UserError("bundle.changed", where=str(file.path), fix="take another copy of the bundle",
                        what=f"its {prefix} is {found[:12]}, the manifest says {wanted[:12]}: "
                        "the file was changed or belongs to another bundle")
    return collected.num_values


def _imports(bundle: Bundle) -> list[str]:
    """The modules that the bundle's config names; nothing is imported here."""
    names = read_yaml(bundle.config_path).get(("imports",))
    if not names:
        return []
    return [f"  asks for Python modules to be run: {names} (only with --allow-imports)"]


def _describe_whole(manifest: Manifest) -> list[str]:
    image, tokenizer = manifest.image, manifest.tokenizer
    lines = []
    if manifest.recipe:
        lines.append(f"  recipe: {manifest.recipe.arch}, {manifest.recipe.model_type}, behaviour {manifest.behaviour}")
    stops = ", ".join(repr(stop) for stop in manifest.stops or [])
    if manifest.template is not None:
        lines.append(f"  template: {manifest.template}" + (f", stops {stops}" if stops else ""))
    if image:
        tokens = manifest.tokens_per_image or image.tokens_per_image
        lines.append(f"  image: {image.size} x {image.size}, opening {image.opening}, mean {list(image.mean)}, "
                     f"std {list(image.std)}, {tokens} tokens")
    if tokenizer:
        lines.append(f"  tokenizer: {tokenizer.vocab_size} ids ({tokenizer.identity[:12]})")
    if manifest.versions:
        lines.append("  made with " + ", ".join(f"{name} {number}" for name, number in manifest.versions.items()))
    return lines


def _describe_part(part: PartEntry) -> str:
    places = " + ".join(f"{origin.place} ({origin.identity[:12]})" for origin in part.origins)
    stored = f"stored here ({part.identity[:12]})"
    adapters = f", LoRA of rank {part.lora.r} on {', '.join(part.lora.target_modules)}" if part.lora else ""
    return f"{stored if part.stored else places or 'nothing'}{adapters}"


def _licences(manifest: Manifest) -> list[str]:
    """A line per licence with all that is under it. Nothing is promised: it is what files and configs state."""
    under: dict[str, list[str]] = {}
    for name, part in manifest.parts.items():
        if part.licence:
            under.setdefault(part.licence, []).append(name)
    for entry in manifest.data:
        under.setdefault(entry.licence, []).append(f"data set {entry.name}")
    lines = [f"  {licence}: {', '.join(names)}" for licence, names in under.items()]
    return ["licences, as stated by their files:", *lines] if lines else []
