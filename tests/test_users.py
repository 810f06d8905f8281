"""What users of the originals stumbled over, where no single package is the place. Names bear the number.

Most of these stand beside what they test; `grep -rniE "u[0-9]+_|U[0-9]+" tests` finds all of them.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import minigpt4
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.cli.main import main
from minigpt4.conversation.tokenizer import StreamDecoder
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.chat import Chat
from minigpt4.inference.events import Done, TextDelta
from minigpt4.records.batches import IGNORED_LABEL
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef
from tests import tiny


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny.model()


def test_u1_a_placeholder_is_named_by_chat_before_anything_loads(project: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    config = project / "eval_configs" / "minigpt4_eval.yaml"
    assert main(["chat", "--cfg-path", str(config), "--question", "what is this"]) == 2
    told = capsys.readouterr().err
    for key in ("model.vision.weights", "model.resampler.weights", "model.llm.weights"):
        assert key in told
    assert "minigpt4 weights download eva_vit_g" in told
    assert "placeholder" in told and "minigpt4_eval.yaml" in told and "Traceback" not in told


def test_u8_the_stock_classes_of_transformers_are_used(loaded: LoadedModel) -> None:
    """No copied model code that a newer transformers would meet with a keyword it does not know."""
    assert type(loaded.model.llm.model).__module__.startswith("transformers.")
    from minigpt4.models.resamplers.q_former import QFormer

    q_former = loaded.model.parts()["resampler"]
    assert isinstance(q_former, QFormer)
    assert any(type(module).__module__.startswith("transformers.") for module in q_former.children())


def test_u10_a_stop_text_never_reaches_the_reader(loaded: LoadedModel) -> None:
    """Whatever the model would say next is made the stop: neither stream nor answer holds any of it."""
    settings = DecodingSettings(max_new_tokens=12)
    free = Chat(loaded, settings).answer("what is this", [tiny.image(1)])
    assert len(free) > 4
    stop = free[2:4]
    stopping = tiny.model()
    object.__setattr__(stopping.renderer.chat, "stops", (stop,))
    try:
        events = list(Chat(stopping, settings).ask("what is this", [tiny.image(1)]))
    finally:
        object.__setattr__(stopping.renderer.chat, "stops", ("###",))
    done = events[-1]
    assert isinstance(done, Done) and done.reason == "stop"
    assert done.text == free[: free.index(stop)].strip()
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == done.text


def test_u10_greedy_is_the_default_and_repeats_itself(loaded: LoadedModel) -> None:
    assert DecodingSettings().do_sample is False
    answers = {Chat(loaded, DecodingSettings(max_new_tokens=8)).answer("what", [tiny.image(1)]) for _ in range(2)}
    assert len(answers) == 1


def test_u12_image_tokens_follow_the_embedding(loaded: LoadedModel) -> None:
    """Tokens made elsewhere (another device where there is one, another dtype always) take their places."""
    elsewhere = "cuda" if torch.cuda.is_available() else "cpu"
    model = loaded.model
    tokens = torch.randn(1, 3, model.llm.width, dtype=torch.float64, device=elsewhere)
    embeddings = model.embed(torch.zeros(1, 5, dtype=torch.long), torch.tensor([[-1, 0, 1, 2, -1]]), tokens)
    text = model.llm.model.get_input_embeddings().weight
    assert (embeddings.device, embeddings.dtype) == (text.device, text.dtype)
    torch.testing.assert_close(embeddings[0, 1:4], tokens[0].to(text.device, text.dtype))


def test_u12_the_models_device_is_that_of_its_embedding() -> None:
    model = tiny.model().model
    model.llm.model.get_input_embeddings().to("meta")
    assert model.device.type == "meta"


def test_u13_optional_packages_are_imported_only_if_asked_for() -> None:
    """Every module of ours, and a model built and asked: bitsandbytes and its like stay outside."""
    script = (
        "import importlib, pkgutil, sys, minigpt4\n"
        "for module in pkgutil.walk_packages(minigpt4.__path__, 'minigpt4.'): importlib.import_module(module.name)\n"
        "from tests import tiny\n"
        "from minigpt4.inference.load import Assistant\n"
        "Assistant(tiny.model()).chat(tiny.image(1), 'what', max_new_tokens=2)\n"
        "print(sorted({'bitsandbytes', 'peft', 'wandb', 'gradio', 'torchvision', 'timm'} & set(sys.modules)))\n"
    )
    project = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("template", ["vicuna_v0", "vicuna_v1", "llama2", "plain"])
def test_u19_chinese_goes_through_template_labels_and_stream(template: str) -> None:
    """What is asked stands in the ids, what is learned is the answer to the character, a stream shows no half ones."""
    renderer = tiny.model(template=template, max_txt_len=200).renderer
    question, answer = "这是什么花？", "一朵红色的玫瑰，背景是世界地图。"
    turns = (Turn("user", f"{IMAGE_MARK} {question}"), Turn("assistant", answer))
    rendered = renderer.render(Conversation(turns, (ImageRef(data=b"x"),)))
    words = [number for number, slot in zip(rendered.ids, rendered.slots, strict=True) if slot < 0]
    learned = [label for label in rendered.labels if label != IGNORED_LABEL]
    assert question in renderer.tokenizer.decode(words)
    assert renderer.tokenizer.decode(learned, skip_specials=False) == answer + renderer.training.answer_end
    stream = StreamDecoder(renderer.tokenizer)
    shown = [stream.push(number) for number in renderer.tokenizer.encode(answer, specials=False)]
    assert "".join(shown) + stream.finish() == answer
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in shown)


def test_u20_the_result_loads_in_one_line(tmp_path: Path, loaded: LoadedModel) -> None:
    loaded.save_bundle(tmp_path, resolved_config=tiny.as_yaml(loaded.config), stage="test", step=1)
    assert minigpt4.load(tmp_path, device="cpu").chat(tiny.image(1), "what", max_new_tokens=3)


def test_u22_what_trains_has_weights_of_full_precision() -> None:
    """Two parts are asked for in bf16: the frozen one becomes it, the one that trains stays fp32, a line says so."""
    config = tiny.config()
    vision, llm = replace(config.vision, freeze=False, dtype="bf16"), replace(config.llm, freeze=True, dtype="bf16")
    built = tiny.model(vision=vision, llm=llm)
    dtypes = {name: {value.dtype for value in part.parameters()} for name, part in built.model.parts().items()}
    assert dtypes["vision"] == {torch.float32} and dtypes["llm"] == {torch.bfloat16}
    assert any(line.startswith("vision: it trains, so its weights stay in fp32") for line in built.load_report)
