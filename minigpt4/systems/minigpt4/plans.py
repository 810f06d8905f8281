"""Conversion plans of MiniGPT-4's files (docs/originals/minigpt4.md#files).

`eva_vit*.pth` -> vision · `blip2_pretrained*.pth` -> last norm of vision and Q-Former · `*minigpt4*.pth` and
checkpoints of the original runner -> connector (and whatever else was trained).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from minigpt4.weights.plans.plan import ConversionPlan, Ignorable, Rule, Shape

VISION = "vision.model."
Q_FORMER = "resampler.model."


def _rules(pairs: dict[str, str]) -> tuple[Rule, ...]:
    """Renames with and without `.bias` at the end of a stem: 'a' -> 'b' stands for weight and bias."""
    return tuple(
        Rule(f"{target}.{leaf}", (f"{source}.{leaf}",))
        for target, source in pairs.items()
        for leaf in ("weight", "bias")
    )


def join_qkv_bias(sources: list[Tensor], shape: Shape) -> Tensor:
    """q and v bias of the original [D] each -> bias [3 D] of the joined layer; K has none, so zeros."""
    query, value = sources
    return torch.cat([query, torch.zeros_like(query), value])


def split_qkv_bias(target: Tensor) -> list[Tensor]:
    """The way back of `join_qkv_bias`."""
    query, _, value = target.chunk(3)
    return [query, value]


def interpolate_positions(sources: list[Tensor], shape: Shape) -> Tensor:
    """pos_embed [1, 1 + g*g, D] -> [1, 1 + h*h, D]: bicubic, fp32; docs/originals/minigpt4.md#vit-interpolation."""
    (positions,) = sources
    if tuple(positions.shape) == shape:
        return positions
    width = positions.shape[-1]
    old, new = round((positions.shape[1] - 1) ** 0.5), round((shape[1] - 1) ** 0.5)
    grid = positions[:, 1:].float().reshape(1, old, old, width).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1].float(), grid.permute(0, 2, 3, 1).reshape(1, new * new, width)], dim=1)


def _eva_rules(prefix: str) -> tuple[Rule, ...]:
    block, layer = f"{prefix}blocks.{{i}}.", f"{VISION}encoder.layers.{{i}}."
    return (
        Rule(f"{VISION}embeddings.class_embedding", (f"{prefix}cls_token",)),
        Rule(f"{VISION}embeddings.position_embedding", (f"{prefix}pos_embed",), interpolate_positions, reshapes=True),
        Rule(f"{layer}self_attn.qkv.weight", (f"{block}attn.qkv.weight",)),
        Rule(f"{layer}self_attn.qkv.bias", (f"{block}attn.q_bias", f"{block}attn.v_bias"), join_qkv_bias,
             split_qkv_bias, reshapes=True),
        *_rules({
            f"{VISION}embeddings.patch_embedding": f"{prefix}patch_embed.proj",
            f"{layer}self_attn.projection": f"{block}attn.proj",
            f"{layer}layer_norm1": f"{block}norm1",
            f"{layer}layer_norm2": f"{block}norm2",
            f"{layer}mlp.fc1": f"{block}mlp.fc1",
            f"{layer}mlp.fc2": f"{block}mlp.fc2",
        }),
    )


def _q_former_rules() -> tuple[Rule, ...]:
    source, target = "Qformer.bert.encoder.layer.{i}.", f"{Q_FORMER}encoder.layer.{{i}}."
    attention = {
        f"{target}{name}.attention.{head}": f"{source}{name}.self.{head}"
        for name in ("attention", "crossattention") for head in ("query", "key", "value")
    }
    output = {f"{target}{name}.output.{layer}": f"{source}{name}.output.{layer}"
              for name in ("attention", "crossattention") for layer in ("dense", "LayerNorm")}
    feed_forward = {f"{target}{name}": f"{source}{name}"
                    for name in ("intermediate_query.dense", "output_query.dense", "output_query.LayerNorm")}
    norm = {f"{Q_FORMER}layernorm": "Qformer.bert.embeddings.LayerNorm"}
    return Rule("resampler.query_tokens", ("query_tokens",)), *_rules({**attention, **output, **feed_forward, **norm})


LN_VISION_RULES = _rules({f"{VISION}post_layernorm": "ln_vision"})
PROJECTION_RULES = _rules({"connector.projection": "llama_proj"})

TEXT_BRANCH = (
    Ignorable("Qformer.bert.embeddings.position_ids", "buffer of old transformers"),
    Ignorable("Qformer.bert.embeddings.word_embeddings.*", "text branch, not used"),
    Ignorable("Qformer.bert.embeddings.position_embeddings.*", "text branch, not used"),
    Ignorable("Qformer.bert.encoder.layer.{i}.intermediate.*", "text branch, not used"),
    Ignorable("Qformer.bert.encoder.layer.{i}.output.*", "text branch, not used"),
    Ignorable("Qformer.cls.*", "text branch, not used"),
)
OTHER_HEADS = tuple(
    Ignorable(pattern, "heads of BLIP-2's own stages")
    for pattern in ("t5_proj.*", "opt_proj.*", "vision_proj.*", "text_proj.*", "itm_head.*", "temp")
)


def eva_vit_plan(num_hidden_layers: int) -> ConversionPlan:
    """`eva_vit_g.pth`: a plain state dict; blocks from `num_hidden_layers` on and the final norm are left out."""
    return ConversionPlan(
        "EVA-ViT file",
        _eva_rules(""),
        (
            Ignorable("blocks.{i}.*", f"blocks beyond the {num_hidden_layers} that are used", num_hidden_layers),
            Ignorable("norm.*", "final norm, not used"),
            Ignorable("fc_norm.*", "final norm, not used"),
            Ignorable("head.*", "CLIP head, not used"),
        ),
    )


BLIP2_PLAN = ConversionPlan(
    "BLIP-2 file",
    (*LN_VISION_RULES, *_q_former_rules()),
    (
        *TEXT_BRANCH, *OTHER_HEADS,
        Ignorable("visual_encoder.*", "the vision encoder comes from its own file"),
        Ignorable("t5_model.*", "another language model"), Ignorable("opt_model.*", "another language model"),
    ),
)
"""`blip2_pretrained*.pth`"""

PROJECTION_SIZES = ("a projection is [width of its language model, width of the image tokens]: 4096 = 7B, 5120 = 13B; "
                    "768 = from a Q-Former, 5632 = four patches joined, without one")
CHECKPOINT_PLAN = ConversionPlan(
    "MiniGPT-4 checkpoint",
    (*PROJECTION_RULES, *LN_VISION_RULES, *_q_former_rules(), *_eva_rules("visual_encoder.")),
    (
        *TEXT_BRANCH,
        Ignorable("llama_model.model.layers.{i}.self_attn.rotary_emb.inv_freq", "buffer, computed again"),
    ),
    optional=("vision.*", "resampler.*"),
    sizes=PROJECTION_SIZES,
)
"""`*minigpt4*.pth` and checkpoints of the original runner: the projection, and other parts where they were trained"""

PROJECTION_PLAN = ConversionPlan("projection", PROJECTION_RULES, CHECKPOINT_PLAN.ignorable, sizes=PROJECTION_SIZES)
"""a checkpoint read for its projection alone"""
