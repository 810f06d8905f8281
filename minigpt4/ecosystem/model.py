"""Our model as a transformers model: the same parts, its generation loop, its way of saving and loading.

No layer is written twice: the parts are those that the system builds, under their own names (`vision.…`,
`llm.model.…`), which are also the names in a bundle. B rows, L positions, N images of all rows in order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, GenerationMixin, PreTrainedModel

from minigpt4.common.errors import UserError
from minigpt4.common.registry import systems
from minigpt4.ecosystem.config import MiniGPT4Config
from minigpt4.models.language_models.causal_lm import CausalLM
from minigpt4.models.vision_language_model import VisionLanguageModel
from minigpt4.models.visual_path import Stage, VisualPath
from minigpt4.records.batches import PIXELS

LANGUAGE_MODEL = "llm"


class MiniGPT4ForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """Images and text in, text out.

    Args:
        config: system and language model.
    """

    config_class = MiniGPT4Config
    config: MiniGPT4Config
    llm: Any
    base_model_prefix = ""
    main_input_name = "input_ids"
    input_modalities = ["image", "text"]
    _supports_sdpa = True

    def __init__(self, config: MiniGPT4Config) -> None:
        super().__init__(config)
        section = config.section()
        llm = CausalLM(config.text_config)
        path = systems.get(section.arch).visual_path(section, llm.width)
        for name, part in VisionLanguageModel(path, llm).parts().items():
            self.add_module(name, part)
        tied = llm.model._tied_weights_keys or {}
        self._tied_weights_keys = {f"llm.model.{key}": f"llm.model.{source}" for key, source in tied.items()}
        self._wiring = {name: (path.reads[name], path.writes[name]) for name in path.stages}
        kinds = [type(stage).__name__ for stage in path.stages.values()]
        self._no_split_modules = [*kinds, *(llm.model._no_split_modules or [])]  # with a device_map
        self._keep_in_fp32_modules = list(path.stages)  # beside float16; transformers also never quantises these
        self.post_init()

    @property
    def parts(self) -> VisionLanguageModel:
        """The parts put together as training and chat have them; it owns nothing, so it is made when it is wanted."""
        stages = {name: Stage(getattr(self, name), *wires) for name, wires in self._wiring.items()}
        return VisionLanguageModel(VisualPath(stages), self.llm)

    def get_input_embeddings(self) -> nn.Module:
        return self.llm.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.llm.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.llm.model.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.llm.model.set_output_embeddings(value)

    def forward(self, input_ids: Tensor | None = None, pixel_values: Tensor | None = None,
                attention_mask: Tensor | None = None, inputs_embeds: Tensor | None = None,
                labels: Tensor | None = None, **kwargs: Any) -> Any:
        """The language model's own output, over text and images.

        Args:
            input_ids: [B, L]; `config.image_token_id` wherever an image's token belongs.
            pixel_values: [N, 3, S, S]; None in later steps of generation, when the images are in the cache.
            attention_mask: [B, L].
            inputs_embeds: [B, L, D] in place of ids and images.
            labels: [B, L], -100 = not learned; adds the mean loss.
            kwargs: passed on to the language model (cache, positions, `logits_to_keep`, …).

        Raises:
            UserError: placeholders and images do not match.
        """
        if inputs_embeds is None:
            assert input_ids is not None, "input_ids or inputs_embeds"
            inputs_embeds = self._embedded(input_ids, pixel_values)
        return self.llm.model(inputs_embeds=inputs_embeds, attention_mask=attention_mask, labels=labels, **kwargs)

    def _embedded(self, input_ids: Tensor, pixel_values: Tensor | None) -> Tensor:
        if pixel_values is None:
            return self.llm.embed(input_ids)
        parts = self.parts
        first = next(self.parameters())  # of the visual path, which may stay in fp32
        tokens = parts.encode_images({PIXELS: pixel_values.to(first.dtype)})
        return parts.embed(input_ids, self._slots(input_ids, tokens.shape[0] * tokens.shape[1]), tokens)

    def _slots(self, input_ids: Tensor, wanted: int) -> Tensor:
        """The placeholders counted over all rows: slots [B, L] (`records/batches.py`)."""
        here = input_ids == self.config.image_token_id
        if int(here.sum()) != wanted:
            raise UserError("ecosystem.images", where="input_ids",
                            what=f"has {int(here.sum())} placeholders, the images have {wanted} tokens",
                            fix="make both with the processor")
        counted = here.flatten().cumsum(0).view_as(here) - 1
        return counted.masked_fill(~here, -1)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """`GenerationMixin.generate`; stop texts of the template need the tokenizer, which is beside the weights."""
        stops = (kwargs.get("generation_config") or self.generation_config).stop_strings
        if stops and "tokenizer" not in kwargs and self.name_or_path:
            kwargs["tokenizer"] = AutoTokenizer.from_pretrained(self.name_or_path)
        return super().generate(*args, **kwargs)  # type: ignore[misc]

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The images come with the prompt; the cache holds them afterwards."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(*args, **kwargs)  # type: ignore[misc]
        cache = inputs.get("past_key_values")
        if cache is not None and cache.get_seq_length():
            inputs["pixel_values"] = None
        return inputs

    def _expand_inputs_for_generation(self, expand_size: int = 1, is_encoder_decoder: bool = False,
                                      input_ids: Tensor | None = None, **kwargs: Any) -> Any:
        """Beams: every copy of a row needs all of the row's images, in their order."""
        pixels = kwargs.pop("pixel_values", None)
        if pixels is not None and input_ids is not None and expand_size > 1:
            tokens = int((input_ids == self.config.image_token_id).sum()) // len(pixels)
            per_row = (input_ids == self.config.image_token_id).sum(dim=1) // tokens
            pixels = torch.cat([row.repeat(expand_size, 1, 1, 1) for row in pixels.split(per_row.tolist())])
        expand: Any = super()._expand_inputs_for_generation  # type: ignore[misc]
        ids, kwargs = expand(expand_size, is_encoder_decoder, input_ids, **kwargs)
        return ids, {**kwargs, "pixel_values": pixels}
