"""Messages and images -> model inputs: transformers' processor around our renderer.

`apply_chat_template(…, tokenize=True)` gives exactly the ids of training and chat, since the same renderer makes them.
A text that comes with its images is taken as it is, `<ImageHere>` where an image belongs.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import BatchFeature, ProcessorMixin
from transformers.utils import cached_file

from minigpt4.common.errors import UserError
from minigpt4.conversation.batching import pad
from minigpt4.conversation.chat_template import ChatTemplate
from minigpt4.conversation.labels import LabelRule
from minigpt4.conversation.pieces import Piece, text_of
from minigpt4.conversation.renderer import Renderer
from minigpt4.conversation.template import Template
from minigpt4.conversation.tokenizer import open_tokenizer
from minigpt4.conversation.wording import OriginalEncoding, Wording
from minigpt4.ecosystem.chat_template import as_jinja
from minigpt4.ecosystem.messages import turns_of
from minigpt4.ecosystem.prompt_rows import lengthened, render_text
from minigpt4.records.batches import Rendered
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn, number_of_marks
from minigpt4.records.images import ImageRef
from minigpt4.weights.bundles.bundle import TOKENIZER_FILES


class MiniGPT4Processor(ProcessorMixin):
    """Texts and images in, `input_ids`, `attention_mask` and `pixel_values` out; rows are padded on the left.

    Args:
        image_processor: `MiniGPT4ImageProcessor`.
        tokenizer: for decoding; opened from a folder that also holds our tokenizer's files.
        template: values of the `Template` of chat.
        tokens_per_image: placeholders of an image.
        image_token_id: id of a placeholder.
        chat_template: the template in jinja; None = made from `template`.
    """

    def __init__(self, image_processor: Any, tokenizer: Any, template: Mapping[str, Any] | None = None,
                 tokens_per_image: int = 0, image_token_id: int = 0, chat_template: str | None = None) -> None:
        self.template = dict(template or {})
        self.tokens_per_image = tokens_per_image
        self.image_token_id = image_token_id
        super().__init__(image_processor, tokenizer, chat_template=chat_template or as_jinja(self._template))

    @property
    def _template(self) -> Template:
        return template_of(self.template)[0]

    @cached_property
    def renderer(self) -> Renderer:
        """The renderer of chat: our own tokenizer and template."""
        template, original = template_of(self.template)
        wording = Wording(training=template, chat=template, rule=LabelRule(), original=original)
        tokenizer = open_tokenizer(self._tokenizer_folder, legacy=self.template.get("legacy_tokenizer"))
        return Renderer(wording, tokenizer, self.tokens_per_image)

    @property
    def _tokenizer_folder(self) -> Path:
        """Where the tokenizer came from: a folder, or what the hub's cache holds of a repository."""
        name = str(self.tokenizer.name_or_path)
        if Path(name).is_dir():
            return Path(name)
        missing = {"_raise_exceptions_for_missing_entries": False}
        found = [place for file in TOKENIZER_FILES if (place := cached_file(name, file, **missing))]
        return Path(found[0]).parent

    def __call__(self, images: Any = None, text: Any = None, **kwargs: Any) -> BatchFeature:
        """Written-out prompts and their images -> model inputs.

        Args:
            images: one, a list or lists of lists, in the order of the marks; None for text alone.
            text: a prompt or several, as `apply_chat_template(…, tokenize=False)` writes them; None for pixels alone.
            kwargs: `return_tensors` may be "pt".

        Raises:
            UserError: marks and images do not match.
        """
        _check_tensors(kwargs.get("return_tensors"))
        if text is None:
            return self.image_processor(images)
        rows = [render_text(self.renderer, row) for row in ([text] if isinstance(text, str) else text)]
        return self._inputs(rows, _flat(images))

    def apply_chat_template(  # type: ignore[override]
            self, conversation: Any, chat_template: str | None = None, *, tokenize: bool = False,
            return_dict: bool = False, continue_final_message: bool = False, return_tensors: str | None = None,
            **kwargs: Any) -> Any:
        """Messages -> a prompt, or model inputs. Where the user speaks last, the answer is always opened.

        Args:
            conversation: messages, or a list of such lists.
            chat_template: another jinja template, for text only.
            tokenize: False = the prompt as text.
            return_dict: True = all model inputs, else `input_ids` alone.
            continue_final_message: the last answer is continued instead of being closed.
            return_tensors: "pt", which None means too.
            kwargs: variables of another template.

        Raises:
            UserError: messages of another form, an unreadable image.
        """
        if chat_template is not None:
            return super().apply_chat_template(conversation, chat_template, tokenize=tokenize, return_dict=return_dict,
                                               continue_final_message=continue_final_message, **kwargs)
        _check_tensors(return_tensors)
        several = isinstance(conversation[0], list | tuple)
        apart = self._template.own_turn_per_image
        chats = conversation if several else [conversation]
        read = [turns_of(messages, own_turn_per_image=apart) for messages in chats]
        if not tokenize:
            texts = [self._as_text(_conversation(system, turns), continue_final_message) for system, turns, _ in read]
            return texts if several else texts[0]
        rows = [self._render(_conversation(system, turns), continue_final_message) for system, turns, _ in read]
        inputs = self._inputs(rows, [image for _, _, images in read for image in images])
        return inputs if return_dict else inputs["input_ids"]

    def post_process_image_text_to_text(self, generated_outputs: Any, skip_special_tokens: bool = True, **kwargs: Any
                                        ) -> list[str]:
        """Ids -> texts, without the stop text that ended them."""
        texts = self.batch_decode(generated_outputs, skip_special_tokens=skip_special_tokens)
        return [_without_stop(text, self._template.stops) for text in texts]

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False, **kwargs: Any) -> list[str]:
        """Rows of ids -> texts, as in our chat; placeholders of images say nothing."""
        return [self.decode(row, skip_special_tokens=skip_special_tokens) for row in sequences]

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> str:
        """ids -> text by our tokenizer; transformers' own writes half characters otherwise."""
        ids = token_ids.tolist() if isinstance(token_ids, torch.Tensor) else list(token_ids)
        tokenizer = self.renderer.tokenizer
        known = [number for number in ids if number != self.image_token_id and number < tokenizer.vocab_size]
        return tokenizer.decode(known, skip_specials=skip_special_tokens)

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> Any:
        """As transformers does, and the tokenizer's own files, of which it would leave out `tokenizer.model`."""
        source, target = self._tokenizer_folder, Path(save_directory)
        target.mkdir(parents=True, exist_ok=True)
        for name in TOKENIZER_FILES:  # first: what transformers writes under the same names is in today's spelling
            if (source / name).exists() and source.resolve() != target.resolve():
                shutil.copyfile(source / name, target / name)
        repository = kwargs.pop("repo_id", target.name)
        written = super().save_pretrained(str(save_directory), **kwargs)
        if push_to_hub:
            self.push_to_hub(repository, **kwargs)
        return written

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", "pixel_values"]

    def _inputs(self, rows: Sequence[Rendered], images: list[Any]) -> BatchFeature:
        marks = sum(row.num_images for row in rows)
        if marks != len(images):
            raise UserError("ecosystem.images", where="text",
                            what=f"has {marks} {IMAGE_MARK} for {len(images)} image(s)",
                            fix="write a prompt with apply_chat_template, which puts them in place")
        if any(number == self.image_token_id and slot < 0 for row in rows
               for number, slot in zip(row.ids, row.slots, strict=True)):
            raise UserError("ecosystem.place_holder", where="text",
                            what=f"contains '{self.tokenizer.convert_ids_to_tokens(self.image_token_id)}', "
                            "which stands for images here", fix="leave it out of the text")
        batch = pad(rows, pad_token_id=self._filler, side="left")
        ids = torch.where(batch.slots >= 0, self.image_token_id, batch.input_ids)
        inputs = BatchFeature({"input_ids": ids, "attention_mask": batch.attention_mask})
        if images:
            inputs["pixel_values"] = self.image_processor(images)["pixel_values"]
        return inputs

    @property
    def _filler(self) -> int:
        """An id for padded positions that is not a placeholder of an image."""
        known = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0, 1)
        return next(number for number in known if number not in (None, self.image_token_id))

    def _render(self, conversation: Conversation, goes_on: bool) -> Rendered:
        if not goes_on:
            return self.renderer.render_prompt(conversation)
        prompt = self.renderer.render_prompt(Conversation(conversation.turns[:-1], conversation.images,
                                                          conversation.system))
        return lengthened(prompt, self.renderer.tokenizer.encode(conversation.turns[-1].text, specials=False))

    def _as_text(self, conversation: Conversation, goes_on: bool) -> str:
        pieces = self._template.pieces(conversation)
        if goes_on and pieces[-1].spans[-1].is_end:
            pieces = [*pieces[:-1], Piece(pieces[-1].spans[:-1])]
        return text_of(pieces, IMAGE_MARK)


def _conversation(system: str | None, turns: tuple[Turn, ...]) -> Conversation:
    """The record, with a stand-in for each image: the renderer counts them, the image processor opens them."""
    marks = number_of_marks(turns)
    return Conversation(turns, (ImageRef(data=b""),) * marks, system)


def _without_stop(text: str, stops: Sequence[str]) -> str:
    return next((text.removesuffix(stop) for stop in stops if stop and text.endswith(stop)), text)


def _flat(images: object) -> list[Any]:
    if images is None:
        return []
    return [each for image in images for each in _flat(image)] if isinstance(images, list | tuple) else [images]


def _check_tensors(kind: object) -> None:
    if kind not in (None, "pt", "auto"):
        raise UserError("ecosystem.tensors", where="return_tensors", what=f"is '{kind}'", fix="use 'pt'")


def template_values(wording: Wording, legacy_tokenizer: bool | None) -> dict[str, Any]:
    """The template of chat, and how the tokenizer is read, as values for `processor_config.json`."""
    return {**asdict(wording.chat), "original": asdict(wording.original), "legacy_tokenizer": legacy_tokenizer}


def template_of(values: Mapping[str, Any]) -> tuple[Template, OriginalEncoding]:
    """The template that `template_values` wrote, now or in version 0.1.0."""
    values = {"name": "plain", **values}
    values.pop("legacy_tokenizer", None)
    original = OriginalEncoding(**values.pop("original", {}))
    if "joined_history" in values:  # 0.1.0
        original = OriginalEncoding(specials_in_text=bool(values.pop("text_holds_specials", False)))
        values["cut"] = "images" if values.pop("joined_history") else "answers"
        values["system_always"] = True
    texts = {name: tuple(values.get(name, ())) for name in ("stops", "ended_by")}
    kind = ChatTemplate if "source" in values else Template
    return kind(**{**values, **texts}), original
