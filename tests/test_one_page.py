"""docs/one_page.py, which shares no line with the package, gives the recorded numbers: a second witness."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

import minigpt4
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.cli.main import main
from minigpt4.generation.engine import Engine
from minigpt4.generation.prompt import embed_prompt
from minigpt4.generation.settings import DecodingSettings
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef
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


IMAGES = ("rose_01", "airplane_07", "shoe_12", "tulip_30")


@pytest.fixture(scope="module")
def tiny_originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals") / "weights"
    assert main(["weights", "tiny-originals", str(folder)]) == 0
    return folder


def test_random_parts_in_the_originals_layouts_answer_alike_in_both(one_page: ModuleType, tiny_originals: Path,
                                                                      project: Path) -> None:
    """Every file of `weights tiny-originals` is read by both, at the originals' depths and numbers of heads."""
    page = one_page.load(tiny_originals)
    package = minigpt4.load(tiny_originals / "minigpt4_eval.yaml", device="cpu").loaded
    page.chat = one_page.TAUGHT  # behaviour `standard` asks as stage 2 taught
    answers = {_same_answer(page, package, one_page, project / "examples" / "photos" / f"{name}.jpg", "What is it?")
               for name in IMAGES}
    assert len(answers) == len(IMAGES), "the answer depends on the image"


def test_the_embedded_default_answers_alike_in_both(one_page: ModuleType, after_make_demo: Path) -> None:
    page = one_page.load(Path("output/minigpt4_scenes_stage2"))
    package = minigpt4.load("output/minigpt4_scenes_stage2", device="cpu").loaded
    for number, question in enumerate(("What is in the top left?", "What colour are the stars?", "左上角有什么?")):
        image = after_make_demo / "output" / "scenes" / "seen" / "images" / f"{number:06d}.png"
        _same_answer(page, package, one_page, image, question)


def _same_answer(page: Any, package: LoadedModel, one_page: ModuleType, image: Path, question: str) -> tuple[int, ...]:
    """Greedy ids of both, compared up to the stop, which the package does not look behind."""
    conversation = Conversation((Turn("user", f"{IMAGE_MARK} {question}"),), (ImageRef(path=image),))
    pixels = one_page.pixels_of(Image.open(image), page.side)
    tokens = package.model.encode_images({"pixel_values": pixels[None]}).detach()
    prompt = embed_prompt(package.model, package.renderer.render_prompt(conversation), tokens, ["image"])
    ids = Engine(package).answer(prompt, DecodingSettings(max_new_tokens=16)).ids
    assert tuple(page.answer(pixels, question, 16)) == ids
    return ids


def _run(one_page: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr("sys.argv", ["one_page.py", *words])
    one_page.main()



def test_its_command_line_trains_and_answers(one_page: ModuleType, tiny_originals: Path, project: Path,
                                             monkeypatch: pytest.MonkeyPatch,
                                             capfd: pytest.CaptureFixture[str]) -> None:
    image = str(project / "examples" / "photos" / "rose_01.jpg")
    _run(one_page, monkeypatch, str(tiny_originals), image, "What is it?", "--learn", "A rose.", "--max-tokens", "3")
    *steps, answer = capfd.readouterr().out.splitlines()
    losses = [float(line.rpartition(" ")[2]) for line in steps]
    assert len(losses) == 4 and losses[-1] < losses[0] - 0.5 and answer


@pytest.mark.parametrize(("folder", "image", "words"), [
    ("nothing_here", "rose_01.jpg", "holds neither the originals' four parts nor checkpoints"),
    ("", "no_such.jpg", "No such file or directory"),
])
def test_what_is_missing_is_told_in_a_sentence(folder: str, image: str, words: str, one_page: ModuleType,
                                               tiny_originals: Path, project: Path, monkeypatch: pytest.MonkeyPatch,
                                               capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _run(one_page, monkeypatch, str(tiny_originals / folder), str(project / "examples" / "photos" / image), "What?")
    assert ended.value.code == 2 and words in capfd.readouterr().err


def test_it_is_one_page_that_stands_alone(project: Path) -> None:
    lines = (project / "docs" / "one_page.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 280
    assert not [line for line in lines if re.match(r"\s*(from|import) minigpt4", line)]
