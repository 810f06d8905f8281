"""A model ready for work: what tasks, chat and export receive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from minigpt4.assembly.manifest import describe_model
from minigpt4.common.registry import templates
from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.tokenizer import Tokenizer
from minigpt4.models.language_models.causal_lm import positions_of
from minigpt4.models.lora import adapters_of, base_is_frozen
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.records.images import ImageSpec
from minigpt4.records.knowledge import Knowledge
from minigpt4.systems.behaviour import Behaviour
from minigpt4.systems.config import SystemConfig
from minigpt4.weights.bundles.licences import DataLicence
from minigpt4.weights.bundles.writing import BundleContents
from minigpt4.weights.files.shard_writer import SHARD_BYTES
from minigpt4.weights.plans.loading import PartOrigin


@dataclass
class LoadedModel:
    """Model, renderer and pixels of one system.

    Args:
        model: the parts, on their device, frozen as the config says.
        renderer: conversation -> ids, for training and chat.
        image_spec: image -> pixels of chat and evaluation; None for a text-only model.
        behaviour: standard, or an original.
        config: the `model:` section it was built from.
        origins: where each part's weights are from.
        load_report: the same in lines for people.
    """

    model: VisionLanguageModel
    renderer: Renderer
    image_spec: ImageSpec | None
    behaviour: Behaviour
    config: SystemConfig
    origins: Mapping[str, tuple[PartOrigin, ...]]
    load_report: list[str] = field(default_factory=list)
    stage: str = ""
    """job_name of the run that trained it; empty for one that was put together from files"""
    trained_on: tuple[DataLicence, ...] = ()
    """data sets of the stages before"""
    knowledge: Knowledge | None = None
    """what it was trained to know; None where nobody said"""

    @property
    def tokenizer(self) -> Tokenizer:
        return self.renderer.tokenizer

    @property
    def tokenizer_folder(self) -> Path:
        return self.config.llm.tokenizer_folder()

    @property
    def vocab_size(self) -> int:
        return self.model.llm.vocab_size

    @property
    def max_positions(self) -> int | None:
        """Positions that the language model has; None where it has no end of them."""
        return positions_of(self.model.llm.model.config)

    @property
    def llm_loaded_and_frozen(self) -> bool:
        """True where the language model came from files and does not train: its first loss cannot be ln V.

        Adapters on it begin without effect.
        """
        return base_is_frozen(self.model.llm) and all(origin.source == "file" for origin in self.origins.get("llm", ()))

    @property
    def default_question(self) -> str | None:
        """What is asked of an image where nobody asks; None = a prompt of training, or nothing after stage 1."""
        return next(iter(self.knowledge.questions_in()), None) if self.knowledge else None

    def in_template(self, name: str) -> LoadedModel:
        """The same model in another template: stage 1 is asked as stage 2 is, stage 2 captions as stage 1 does."""
        template, old = templates.get(name), self.renderer
        wording = replace(old.wording, training=template, chat=template)
        return replace(self, renderer=Renderer(wording, old.tokenizer, old.tokens_per_image))

    def describe(self) -> str:
        """The chain with shapes, dtype, parameters and origin, one line a part."""
        lines = [": ".join(filter(None, (f"behaviour {self.behaviour.name}", self.behaviour.consequences)))]
        if (spec := self.image_spec) is not None:
            lines.append(f"pixels [3, {spec.size}, {spec.size}] ({spec.opening}, {spec.fit}, {spec.method})")
        for name, part in self.model.parts().items():
            parameters = list(part.parameters())
            count = sum(parameter.numel() for parameter in parameters)
            dtypes = "+".join(sorted({str(parameter.dtype).removeprefix("torch.") for parameter in parameters})) or "-"
            shape = f"-> [{part.out_tokens}, {part.out_width}]" if name != "llm" else f"-> [{self.vocab_size}]"
            state = "LoRA" if adapters_of(part) else "frozen" if base_is_frozen(part) else "trains"
            origin = " + ".join(str(origin) for origin in self.origins[name])
            lines.append(
                f"{name:<10} {type(part).__name__:<16} {shape:<14} {dtypes:<16} {state:<7} {count:>13,}  {origin}"
            )
        lines.append(f"{self.renderer.tokens_per_image} tokens per image, template {self.renderer.training.name}")
        if self.knowledge is not None:
            lines += [self.knowledge.sentence(), *(f"ask: {text}" for text in self.knowledge.questions_in())]
        return "\n".join(lines)

    def save_bundle(self, folder: Path, *, resolved_config: str, stage: str, step: int,
                    data: Sequence[DataLicence] = (), shard_bytes: int = SHARD_BYTES) -> None:
        """Write a complete bundle into `folder` (which exists): everything that no other file provides.

        Args:
            folder: the caller makes it whole or absent.
            resolved_config: its config.yaml.
            stage: job_name of the run, or what else it is.
            step: optimizer steps done.
            data: data sets of this stage.
            shard_bytes: a file of tensors grows up to this size.
        """
        self._contents(data).write(folder, resolved_config=resolved_config, stage=stage, step=step,
                                   shard_bytes=shard_bytes)

    def take_part_in_bundle(self, shard_bytes: int) -> None:
        """What the other ranks of a run do while the first saves, where each of them holds a part of the weights."""
        self._contents().take_part(shard_bytes)

    def _contents(self, data: Sequence[DataLicence] = ()) -> BundleContents:
        return BundleContents(
            self.model.parts(), self.origins, self.tokenizer_folder, self.renderer.prompts,
            self.model.llm.model.config.to_dict(), describe_model(self, (*self.trained_on, *data)),
        )
