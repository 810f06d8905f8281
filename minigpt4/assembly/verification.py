"""Does what is being loaded belong to the bundle it is loaded with?

Another tokenizer, language model or encoder is refused with both names; another language model may be insisted on
(`model.allow_other_llm`). A config that asks for another template or image size than the bundle was trained with is
followed, and said in the load report.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from minigpt4.common.errors import UserError
from minigpt4.conversation.renderer import Renderer
from minigpt4.records.images import ImageSpec
from minigpt4.systems.config import SystemConfig
from minigpt4.weights.bundles.bundle import Bundle
from minigpt4.weights.bundles.tokenizer_fingerprint import TokenizerFingerprint, fingerprint_of_tokenizer
from minigpt4.weights.plans.loading import PartOrigin

logger = logging.getLogger(__name__)

LANGUAGE_MODEL = "llm"
STAGE_1_AGAIN = "its answers mean nothing until stage 1 is trained again"


def check_tokenizer(bundle: Bundle | None, config: SystemConfig) -> list[str]:
    """Hold the tokenizer that the config names against the bundle's; asked before anything large is read.

    Returns:
        lines of the report.

    Raises:
        UserError: it is another one, and no other language model was insisted on.
    """
    wanted = bundle.manifest.tokenizer if bundle else None
    if bundle is None or wanted is None:
        return []
    then = TokenizerFingerprint(wanted.identity, wanted.vocab_size, wanted.place)
    now = fingerprint_of_tokenizer(config.llm.tokenizer_folder(), bundle.sources.read)
    if then.fingerprint == now.fingerprint:
        return []
    if _other_llm_allowed(config):
        return [f"{bundle.folder}: was trained with {then}, this is {now}"]
    raise UserError(
        "bundle.tokenizer", where=str(bundle.folder), what=f"was trained with {then}, this is {now}",
        fix="leave model.llm.tokenizer out when you load the bundle (it brings its own), or point it at the right one",
    )


def check_fingerprints(bundle: Bundle, config: SystemConfig, origins: Mapping[str, Sequence[PartOrigin]]) -> list[str]:
    """Hold the parts that came from files against those that the bundle was trained with.

    Args:
        bundle: an opened bundle.
        config: the `model:` section.
        origins: part -> what its weights were read from, for every part that the bundle does not store.

    Returns:
        lines of the report.

    Raises:
        UserError: naming both fingerprints, the wanted one's last known place, and the key to set.
    """
    lines = []
    for part, found in origins.items():
        other = bundle.other_fingerprint(part, found)
        if not other:
            continue
        if part == LANGUAGE_MODEL and _other_llm_allowed(config):
            lines.append(f"{part}: {bundle.folder} {other}; the projection was trained for another language model: "
                         f"{STAGE_1_AGAIN}")
            logger.warning(lines[-1])
            continue
        insist = f", or insist with --allow-other-llm ({STAGE_1_AGAIN})" if part == LANGUAGE_MODEL else ""
        raise UserError("bundle.identity", where=str(bundle.folder), what=other,
                        fix=f"point model.{part}.weights at the right one{insist}")
    return lines


def as_trained(spec: ImageSpec | None, bundle: Bundle | None) -> ImageSpec | None:
    """The config's pixels in the colours that the bundle was trained with."""
    recorded = bundle.manifest.image if bundle else None
    if spec is None or recorded is None:
        return spec
    return replace(spec, mean=recorded.mean, std=recorded.std)


def changes_since(bundle: Bundle | None, renderer: Renderer, spec: ImageSpec | None) -> list[str]:
    """A line for each setting of words and images in which the config differs from what the bundle was trained with."""
    if bundle is None:
        return []
    manifest, then = bundle.manifest, bundle.manifest.image
    tokens_then = manifest.tokens_per_image if then is None else manifest.tokens_per_image or then.tokens_per_image
    then_and_now: dict[str, tuple[object, object]] = {
        "template": (manifest.template, renderer.training.name),
        "chat template": (manifest.chat_template, renderer.chat.name),
        "stops": (manifest.stops, list(renderer.stops)),
        "tokens per image": (tokens_then, renderer.tokens_per_image),
    }
    if then is not None:
        then_and_now |= {
            "image size": (then.size, spec and spec.size),
            "decoding of images": (then.opening, spec and spec.opening),
            "fit of images": (then.fit, spec and spec.fit),
            "method of decoding": (then.method, spec and spec.method),
        }
    return [f"{bundle.folder}: its {name} was {before!r}, this config asks for {after!r}"
            for name, (before, after) in then_and_now.items() if before is not None and before != after]


def options_of(bundle: Bundle, given: Sequence[str], *, allow_other_llm: bool) -> list[str]:
    """All changes of a bundle's own config: what it holds itself, then what was asked for.

    Another language model brings its own tokenizer, unless one is named.
    """
    options = [*bundle.options(), *given]
    if allow_other_llm and _names("model.llm.weights", given) and not _names("model.llm.tokenizer", given):
        options.append("model.llm.tokenizer=null")
    return options


def _names(key: str, options: Sequence[str]) -> bool:
    return any(option.partition("=")[0] == key for option in options)


def _other_llm_allowed(config: SystemConfig) -> bool:
    return config.allow_other_llm
