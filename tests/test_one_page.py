"""docs/one_page.py, which shares no line with the package, gives the recorded numbers: a second witness."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from tests.parity import minigpt4_folder as oracle


@pytest.fixture(scope="module")
def model(one_page: ModuleType) -> Any:
    eva, bert = oracle.sizes()
    parts = oracle.folder() / "parts"
    files = [parts / f"{name}_tiny.pth" for name in ("eva_vit", "blip2_pretrained", "minigpt4")]
    return one_page.MiniGPT4(*files, parts / "llm", depth=eva["depth"], heads=eva["num_heads"],
                             query_heads=bert["num_attention_heads"])


def test_pixels(one_page: ModuleType) -> None:
    case = oracle.read_case("pixels_eval")
    for name in case.values["images"]:
        found = one_page.pixels_of(Image.open(oracle.folder() / "images" / name), case.values["size"])
        atol = 2e-2 if name.endswith(".jpg") else 0  # another JPEG decoder
        torch.testing.assert_close(found, case.tensors[name], atol=atol, rtol=0)


def test_image_tokens(model: Any) -> None:
    case = oracle.read_case("qformer")
    with torch.no_grad():
        found = model.see(oracle.pixels(case.values["images"]))
    torch.testing.assert_close(found, case.tensors["projected"], atol=1e-5, rtol=0)


def _shown_batches() -> list[str]:
    """Batches of the kind that the page shows: Vicuna, a drawn prompt, no pad token inside a caption."""
    cases = [oracle.read_case(name) for name in oracle.held_cases("loss_")]
    shown = [case for case in cases if case.values.get("prompt_chosen") and oracle.is_q_former(case)]
    specials = ("</s>", "$$")
    return [case.name for case in shown if not any(special in "".join(case.values["texts"]) for special in specials)]


@pytest.mark.parametrize("name", _shown_batches())
def test_loss_and_gradient(model: Any, name: str) -> None:
    case = oracle.read_case(name)
    (prompt,) = case.values["prompt_chosen"]
    loss = model.loss(oracle.pixels(case.values["images"]), prompt, case.values["texts"], case.values["max_txt_len"])
    assert loss.item() == pytest.approx(case.values["loss"], abs=5e-6)
    model.projection.zero_grad()
    loss.backward()
    recorded = case.tensors["grad.llama_proj.weight"]
    assert (model.projection.weight.grad - recorded).abs().max() < 1e-4 * recorded.abs().max()
    assert not any(value.requires_grad for value in model.llm.parameters())


def test_a_greedy_answer(model: Any) -> None:
    case = oracle.read_case("chat_two_turns_greedy")
    turn = case.values["turns"][0]
    ids = model.answer(oracle.pixels(case.values["images"])[0], turn["question"], turn["kwargs"]["max_new_tokens"])
    assert ids == turn["output_ids_raw"][1:]


def test_it_is_one_page_that_stands_alone(project: Path) -> None:
    lines = (project / "docs" / "one_page.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 180
    assert not [line for line in lines if re.match(r"\s*(from|import) minigpt4", line)]
