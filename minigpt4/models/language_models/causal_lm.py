"""Any Hugging Face causal language model, from a folder or at random.

A folder is read by our own reader (package weights), so that a leftover or missing tensor is an error; the class and
its config are transformers'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from minigpt4.common.config.ranges import NonNegativeFloat
from minigpt4.common.errors import UserError
from minigpt4.common.registry import language_models
from minigpt4.models.activation_checkpointing import enable_activation_checkpointing
from minigpt4.models.language_models.bounds import refuse_absurd_sizes
from minigpt4.models.language_models.kinds import refuse_other_kinds
from minigpt4.models.language_models.next_token_loss import is_plain, summed_cross_entropy
from minigpt4.models.language_models.placement import DeviceMap, input_device
from minigpt4.models.language_models.quantized import Quantization
from minigpt4.models.language_models.row_attention import NO_MASK, ROW_ATTENTION, takes_one_row
from minigpt4.models.part import PartConfig
from minigpt4.records.batches import OneRow

POSITIONS = "max_position_embeddings"
"""what transformers calls them in every config, whatever the file says (n_positions, n_ctx)"""
OLD_CONFIG_VALUES = {"LLaMAForCausalLM": "LlamaForCausalLM", "LLaMATokenizer": "LlamaTokenizer"}
"""spellings of March 2023 that transformers 5 does not know (docs/originals/minigpt4.md#files-llm)"""


NOT_OF_THE_WEIGHTS = frozenset({
    "architectures", "torch_dtype", "dtype", "auto_map", "attn_implementation", "experts_implementation",
    "output_attentions", "output_hidden_states", "output_router_logits", "return_dict", "use_cache", "id2label",
    "label2id", "problem_type", "use_kernels",
})
"""values of a config.json that choose code or what a call returns, none of which a downloaded file decides"""


@dataclass(frozen=True, kw_only=True)
class CausalLMConfig(PartConfig):
    """The language model: a folder of weights, or sizes for a random one."""

    name: str = "causal_lm"
    """which registered part"""
    weights: str | None = field(default=None, metadata={"path": "folder", "hub": True})
    """folder with config.json, weights and tokenizer; null = random, by `random`"""
    random: dict[str, Any] = field(default_factory=dict)
    """config.json values (model_type, hidden_size, …) of a language model that starts from random weights"""
    start: Literal["usual", "copying"] = "usual"
    """random weights as transformers draws them, or such that attention finds equal words from the first step"""
    tokenizer: str | None = field(default=None, metadata={"path": "folder"})
    """folder of the tokenizer; null = the folder of the weights"""
    quantize: Quantization | None = None
    """int8 or nf4 (4 bit): the linear layers of a frozen language model by bitsandbytes (extra 'quantized')"""
    device_map: DeviceMap | None = None
    """spread the layers of a frozen language model: auto (evenly over the GPUs) or sequential; null = run.device"""
    max_memory: dict[str, Any] = field(default_factory=dict)
    """most that device_map uses, such as {"0": 10GiB, cpu: 30GiB}; empty = all that is free"""
    offload_folder: str | None = None
    """where layers are kept that device_map finds no memory for (slow); null = that is an error"""
    router_loss: NonNegativeFloat = 0.0
    """weight of the load-balancing loss of a mixture of experts, averaged over micro-batches; 0 = none"""
    activation_checkpointing: bool = False
    """compute activations again in the backward pass instead of keeping them"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quantize and not self.freeze:
            raise UserError(
                "config.value", where="model.llm.quantize",
                what=f"is {self.quantize}, but the language model trains, and quantised weights cannot",
                fix="set model.llm.freeze=True, or model.llm.quantize=null",
            )
        if self.device_map and (not self.freeze or self.lora.r):
            raise UserError(
                "config.value", where="model.llm.device_map",
                what=f"is {self.device_map}, but only frozen layers are spread, and "
                f"{'LoRA trains on it' if self.freeze else 'the language model trains'}",
                fix="set model.llm.device_map=null and run torchrun",
            )

    def tokenizer_folder(self) -> Path:
        """Where the tokenizer is: its own folder, else that of the weights. Raises `UserError` without either."""
        folder = self.tokenizer or self.weights
        if folder is None:
            raise UserError(
                "config.missing", where="model.llm", what="a language model without weights needs a tokenizer",
                fix="set model.llm.tokenizer to a folder with tokenizer.json or tokenizer.model",
            )
        return Path(folder)


def transformers_config(values: Mapping[str, Any], *, where: str = "model.llm", num_rows: int | None = None
                        ) -> PreTrainedConfig:
    """A transformers config from the values of a config.json.

    Args:
        values: as read from the file; old spellings are repaired here.
        where: what gave the values, for errors.
        num_rows: rows of the embedding in the files, which win over `vocab_size` (32000 against 32001).

    Raises:
        UserError: they are another kind of model's.
    """
    refuse_other_kinds(values, where)
    refuse_absurd_sizes(values, where=where)
    known = {key: value for key, value in values.items() if key not in NOT_OF_THE_WEIGHTS and not key.startswith("_")}
    known["model_type"] = str(known.get("model_type", "llama")).lower()
    with _explained(where):
        config: PreTrainedConfig = AutoConfig.for_model(**known)
    if num_rows is not None:
        config.vocab_size = num_rows
    return config


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """What transformers says of values that make no model, as one sentence; it raises whatever it meets."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError("weights.config", where=where, what=f"its values make no language model ({reason[:200]})",
                        fix="check the values, or download or copy the file again") from error


def positions_of(config: PreTrainedConfig) -> int | None:
    """The longest row that a language model is made for; None where its config names no length.

    A longer row ends in an index beyond a table of learned positions (GPT-2, OPT), or is nonsense to the model.
    """
    found = getattr(config, POSITIONS, None)
    return found if isinstance(found, int) and found > 0 else None


def positions_said(values: Mapping[str, Any]) -> int | None:
    """The same from the values of a config.json alone, which need not make a model yet."""
    kind = str(values.get("model_type", "llama")).lower()
    if kind not in CONFIG_MAPPING:
        return None
    usual = AutoConfig.for_model(kind)
    name = usual.attribute_map.get(POSITIONS, POSITIONS)
    found = values.get(name, values.get(POSITIONS, getattr(usual, POSITIONS, None)))
    return found if isinstance(found, int) and found > 0 else None


@dataclass(frozen=True)
class LanguageOutput:
    """Logits [B, P, V], and losses beside them by name, each a mean that is already weighted."""

    logits: torch.Tensor
    auxiliary: Mapping[str, torch.Tensor] = field(default_factory=dict)


@language_models.register("causal_lm")
class CausalLM(nn.Module):
    """A causal LM that takes embeddings.

    Args:
        config: transformers' config of the model.
        empty: True = parameters on the meta device, to be filled by package weights.
        where: what gave the config, for errors.
    """

    Config = CausalLMConfig
    LORA_TARGETS = ("q_proj", "v_proj")
    """layers that LoRA is put on where the config names none"""

    def __init__(self, config: PreTrainedConfig, *, empty: bool = False, where: str = "model.llm") -> None:
        super().__init__()
        if empty:
            from accelerate import init_empty_weights

            with _explained(where), init_empty_weights(include_buffers=False):
                self.model = AutoModelForCausalLM.from_config(config)
        else:
            with _explained(where):
                self.model = AutoModelForCausalLM.from_config(config)
        self.width = int(self.model.get_input_embeddings().embedding_dim)
        self.vocab_size = int(self.model.get_input_embeddings().num_embeddings)
        if takes_one_row(self.model):
            self.model.set_attn_implementation(ROW_ATTENTION)
        self.can_recompute = False
        """`recompute_activations` was asked for"""
        self.router_loss = 0.0
        """weight of the load-balancing loss; set by `balance_experts`"""

    def forward(self, embeddings: torch.Tensor, attention_mask: torch.Tensor,
                positions: torch.Tensor | None = None) -> LanguageOutput:
        """What the language model says after each position.

        Args:
            embeddings: [B, L, width].
            attention_mask: [B, L], 1 = real.
            positions: [P] the columns whose logits are wanted; None = all.
        """
        wanted: dict[str, Any] = {} if positions is None else {"logits_to_keep": positions}
        balanced = self.router_loss > 0 and torch.is_grad_enabled()
        if balanced:
            wanted["output_router_logits"] = True
        out = self.model(inputs_embeds=embeddings, attention_mask=attention_mask, use_cache=False, **wanted)
        if not balanced:
            return LanguageOutput(out.logits, {})
        if getattr(out, "aux_loss", None) is None:
            raise UserError("config.value", where="model.llm.router_loss", fix="set it to 0",
                            what=f"is {self.router_loss}, but transformers' {self.model.config.model_type} gives no "
                            "load-balancing loss")
        return LanguageOutput(out.logits, {"router": self.router_loss * out.aux_loss})

    @property
    def takes_one_row(self) -> bool:
        """Whether `summed_loss` can be asked; the routers' loss is made of padded rows only."""
        return self.model.config._attn_implementation == ROW_ATTENTION and self.router_loss == 0

    def summed_loss(self, embeddings: torch.Tensor, row: OneRow) -> torch.Tensor:
        """Summed cross-entropy of what is learned of a row, in float32.

        Args:
            embeddings: [T, width] of all samples, end to end.
            row: their positions, bounds and targets.
        """
        told: dict[str, Any] = {"inputs_embeds": embeddings.unsqueeze(0), "position_ids": row.positions.unsqueeze(0),
                                "attention_mask": embeddings.new_empty(NO_MASK), "samples": row.bounds,
                                "use_cache": False}
        head = self.model.get_output_embeddings()
        if not is_plain(head):
            logits = self.model(**told, logits_to_keep=row.predicting).logits[0]
            return F.cross_entropy(logits.float(), row.targets, reduction="sum")
        hidden = self.model.base_model(**told).last_hidden_state[0]
        return summed_cross_entropy(hidden.index_select(0, row.predicting), head.weight, head.bias, row.targets)

    def balance_experts(self, weight: float) -> None:
        """Add the load-balancing loss of a mixture of experts (arXiv 2101.03961, section 2.2) to what is trained.

        Raises:
            UserError: the language model has no routers.
        """
        if not 0 <= weight < math.inf:
            raise UserError("config.value", where="model.llm.router_loss", what=f"is {weight}",
                            fix="use 0 (none) or a number above it, such as 0.01")
        if weight and not hasattr(self.model.config, "router_aux_loss_coef"):
            raise UserError("config.value", where="model.llm.router_loss", what=f"is {weight}, but a "
                            f"{self.model.config.model_type} has no experts to balance", fix="set it to 0")
        self.router_loss = weight

    @property
    def embedding_scale(self) -> float:
        """What embeddings are multiplied by when ids are looked up (Gemma: root of the width), and so image tokens."""
        embedding = self.model.get_input_embeddings()
        scale = getattr(embedding, "embed_scale", None)
        return 1.0 if scale is None else float(torch.as_tensor(scale).to(embedding.weight.dtype))

    @property
    def ties_embeddings(self) -> bool:
        """True where the output layer is the input embedding."""
        return bool(self.model.config.tie_word_embeddings)

    @property
    def device(self) -> torch.device:
        """Where it takes its inputs."""
        embedding = self.model.get_input_embeddings()
        return input_device(embedding, embedding.weight)

    def recompute_activations(self, during_training: bool) -> None:
        """Let layers compute their activations again in the backward pass, also those of a frozen language model.

        transformers asks a layer's `training`; it is set on the layers alone, so their dropout stays off.
        """
        if not self.can_recompute:
            enable_activation_checkpointing(self.model)
            self.can_recompute = True
        for layer in self.model.modules():
            if isinstance(layer, GradientCheckpointingLayer):
                layer.training = during_training

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """ids [B, L] -> embeddings [B, L, width]."""
        return self.model.get_input_embeddings()(ids)
