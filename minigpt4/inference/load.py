"""`minigpt4.load`: a bundle, a config or a checkpoint becomes an assistant to chat with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigpt4.assembly.build import build
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.assembly.verification import options_of
from minigpt4.common.config import load_config
from minigpt4.common.config.trust import OWN, downloaded
from minigpt4.common.errors import UserError
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.captioning import Captioner
from minigpt4.inference.chat import Chat
from minigpt4.weights.bundles.bundle import open_bundle
from minigpt4.weights.bundles.places import is_bundle, newest_bundle
from minigpt4.weights.bundles.seal import compare_checksums
from minigpt4.weights.files.sources import Sources


class Assistant:
    """A loaded model with the things people do with one.

    Args:
        loaded: model, renderer, pixels.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded

    def chat(self, image: object, text: str = "", **settings: Any) -> str:
        """One question about one image (path, bytes or Pillow image; None for none) -> the answer.

        Keyword arguments are those of `DecodingSettings` (max_new_tokens, num_beams, do_sample, …).
        """
        images = [] if image is None else [image]
        return Chat(self.loaded, DecodingSettings(**settings)).answer(text, images)

    def conversation(self, *, system: str | None = None, **settings: Any) -> Chat:
        """A conversation of several turns and images."""
        return Chat(self.loaded, DecodingSettings(**settings), system=system)

    def describe(self, images: Sequence[Any], *, prompt: str | None = None, batch_size: int = 8,
                 **settings: Any) -> list[str]:
        """Captions of images, in their order.

        Raises:
            UserError: the first image that cannot be read.
        """
        captions = list(
            Captioner(self.loaded, DecodingSettings(**settings), prompt or self.loaded.default_question)
            .describe(images, batch_size=batch_size)
        )
        for caption in captions:
            if caption.error:
                raise UserError("image.unreadable", what=caption.error)
        return [caption.caption for caption in captions]


def load(source: str | Path, *, device: str | None = None, options: Sequence[str] = (),
         allow_other_llm: bool = False, allow_imports: bool = False, verify: bool = False) -> Assistant:
    """Load a model for use.

    Args:
        source: a bundle folder (what training wrote), a run folder, or a YAML with a `model:` section.
        device: cpu, cuda, cuda:1, mps; None = as the config says.
        options: `a.b=c` changes of the config, as on the command line.
        allow_other_llm: take a bundle with another language model than it was trained with, to train stage 1 again.
        allow_imports: run the Python modules that the bundle asks for; without it such a bundle is refused.
        verify: compare the checksums of all files of the bundle first, not only their sizes.

    Raises:
        UserError: nothing of that kind there, or anything that does not belong together.
    """
    return Assistant(load_model(source, device=device, options=options, allow_other_llm=allow_other_llm,
                                allow_imports=allow_imports, verify=verify))


def load_model(source: str | Path, *, device: str | None = None, options: Sequence[str] = (),
               allow_other_llm: bool = False, allow_imports: bool = False, verify: bool = False) -> LoadedModel:
    """The same as `load`, without the things to do with it."""
    source, sources = Path(source), Sources()
    is_downloaded = source.is_dir() or is_bundle(source.parent)
    options = [*options, *(["model.allow_other_llm=true"] if allow_other_llm else [])]
    if source.is_dir():
        bundle = open_bundle(newest_bundle(source), sources)
        if verify:
            compare_checksums(bundle.folder)
        bundle.check_places([key.split(".")[1] for key in options if key.startswith("model.") and ".weights=" in key])
        source, options = bundle.config_path, options_of(bundle, options, allow_other_llm=allow_other_llm)
    elif not source.exists():
        raise UserError("load.missing", where=str(source), what="no such file or folder",
                        fix="give a bundle folder or a YAML")
    trust = downloaded(allow_imports=allow_imports) if is_downloaded else OWN
    return build(load_config(source, options, sections=("model",), trust=trust), device=device, sources=sources)

