"""Real-size key lists (7B, 13B, EVA-ViT-g, BLIP-2) map completely, both directions, on the meta device."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from minigpt4.ecosystem.foreign_files import in_original_names
from minigpt4.models.connectors.linear import LinearConnector, LinearConnectorConfig
from minigpt4.models.language_models.causal_lm import CausalLM, transformers_config
from minigpt4.models.resamplers.q_former import QFormer, QFormerConfig
from minigpt4.models.vision.eva_vit import EvaVit, EvaVitConfig
from minigpt4.systems.minigpt4 import plans as plans
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.plans.language_model import language_model_plan
from minigpt4.weights.plans.loading import target_shapes
from minigpt4.weights.plans.plan import ConversionPlan, Shape, match
from tests.parity.minigpt4_folder import folder

FILE = folder() / "official_keys.json"
LISTS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
LANGUAGE_MODELS = [name for name, entry in LISTS.items()
                   if isinstance(entry, dict) and "model.embed_tokens.weight" in entry.get("keys", {})]
PROJECTIONS = [name for name, entry in LISTS.items() if isinstance(entry, dict) and "model_parameters" in entry]
BUFFERS = ("rotary_emb.inv_freq", "position_ids")
"""buffers of old transformers that no weight goes into"""

pytestmark = pytest.mark.skipif(not LISTS, reason=f"{folder()} contains no official_keys.json")


def spelled_out(entry: dict[str, Any]) -> dict[str, Shape]:
    """Keys with `{n}` for each layer."""
    found: dict[str, Shape] = {}
    for key, shape in entry["keys"].items():
        numbers = range(entry["layers"]) if "{n}" in key else [0]
        found.update({key.replace("{n}", str(number)): tuple(shape) for number in numbers})
    return found


def assert_maps_both_ways(plan: ConversionPlan, keys: dict[str, Shape], targets: dict[str, Shape]) -> None:
    """Nothing left over, nothing unmade; and the targets go out as the keys that came in, with their shapes."""
    matched = match(plan, keys, targets, where="official_keys.json")
    ignored = {name for names in matched.ignored.values() for name in names}
    made = {assignment.target for assignment in matched.assignments}
    meta = {name: torch.empty(targets[name], device="meta") for name in made}
    back: dict[str, Tensor] = in_original_names(plan, meta)
    assert set(back) == set(keys) - ignored
    assert all(tuple(back[name].shape) == keys[name] for name in back)


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_language_models(name: str) -> None:
    keys = spelled_out(LISTS[name])
    rows, width = keys["model.embed_tokens.weight"]
    sizes = {"model_type": "llama", "hidden_size": width, "num_hidden_layers": LISTS[name]["layers"],
             "intermediate_size": keys["model.layers.0.mlp.gate_proj.weight"][0], "num_attention_heads": width // 128}
    llm = CausalLM(transformers_config(sizes, num_rows=rows), empty=True)
    file = TensorFile(Path(name), keys, dict.fromkeys(keys, torch.float16), lambda key: torch.empty(keys[key]))
    assert_maps_both_ways(language_model_plan(llm.model)(file), keys, target_shapes({"llm": llm}))


def test_the_vision_encoder() -> None:
    entry = LISTS["eva_vit_g"]
    keys = spelled_out(entry["used_by_original"])
    dropped = [key for key in entry["dropped"]["keys_inferred"] if not key.endswith("*")]
    with torch.device("meta"):
        vision = EvaVit(EvaVitConfig())
    targets = {name: shape for name, shape in target_shapes({"vision": vision}).items()
               if "post_layernorm" not in name}
    plan = plans.eva_vit_plan(EvaVitConfig().num_hidden_layers)
    assert_maps_both_ways(plan, {**keys, **dict.fromkeys(dropped, (1,))}, targets)


def test_blip2() -> None:
    entry = LISTS["blip2_pretrained_flant5xxl"]
    listed = {**entry["used_by_original"], **entry["ignored_in_this_file"]}
    keys = {name: tuple(shape) for name, shape in listed.items()}
    with torch.device("meta"):
        vision = EvaVit(EvaVitConfig())
        q_former = QFormer(QFormerConfig(), vision.out_width, vision.out_tokens)
    targets = target_shapes({"vision": vision, "resampler": q_former})
    assert_maps_both_ways(plans.BLIP2_PLAN, keys, targets)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_published_projections(name: str) -> None:
    entry = LISTS[name]
    buffers = spelled_out(entry["possible_buffers_in_model"])
    keys = {key: tuple(shape) for key, shape in entry["model_parameters"].items()}
    rows, width = keys["llama_proj.weight"]
    with torch.device("meta"):
        connector = LinearConnector(LinearConnectorConfig(), width, 32, rows)
    assert all(any(re.search(buffer, key) for buffer in BUFFERS) for key in buffers)
    assert_maps_both_ways(plans.CHECKPOINT_PLAN, {**keys, **buffers}, target_shapes({"connector": connector}))
