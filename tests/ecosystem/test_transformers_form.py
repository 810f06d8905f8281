"""Out into transformers' own classes: same ids, same logits, same tokens, and every usual way of loading and saving."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig, pipeline

import minigpt4.ecosystem
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.assembly.probe import difference, logits_of, probe_of, probed_logits
from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from minigpt4.ecosystem import MiniGPT4ForConditionalGeneration, MiniGPT4Processor
from minigpt4.ecosystem.model_card import model_card
from minigpt4.ecosystem.reading import import_transformers
from minigpt4.ecosystem.writing import export_transformers, processor_of
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.chat import Chat
from minigpt4.inference.events import Done
from minigpt4.inference.images import as_image_ref
from minigpt4.inference.images import processor_of as pixels_of
from minigpt4.inference.load import load, load_model
from minigpt4.models.language_models.quantized import is_quantized
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from tests import tiny
from tests.cli.pages import blocks
from tests.parity import minigpt4_folder as oracle

NEW_TOKENS = 8
QUESTION = "what is this"


@pytest.fixture(scope="module", params=["tiny", "april", "llama2_without_q_former", "embedded"])
def loaded(request: pytest.FixtureRequest, project: Path) -> LoadedModel:
    if request.param == "embedded":
        return load_model(project / "eval_configs" / "minigpt4_scenes.yaml", device="cpu", options=["model.ckpt=null"])
    makers = {"tiny": tiny.model, "april": lambda: oracle.model(april=True),
              "llama2_without_q_former": lambda: oracle.model(q_former=False)}
    return makers[request.param]()


@pytest.fixture(scope="module")
def folder(loaded: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exported") / "mine"
    export_transformers(loaded, place)
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(folder)


@pytest.fixture(scope="module")
def processor(folder: Path) -> Any:
    return AutoProcessor.from_pretrained(folder)


def messages(text: str, *numbers: int) -> list[dict[str, Any]]:
    blocks = [{"type": "image", "image": tiny.image(number, 50)} for number in numbers]
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": text}]}]


def inputs_of(processor: Any, conversation: Any) -> Any:
    return processor.apply_chat_template(conversation, tokenize=True, return_dict=True, return_tensors="pt",
                                         add_generation_prompt=True)


def answer(loaded: LoadedModel, text: str, number: int, max_new_tokens: int = NEW_TOKENS) -> Done:
    chat = Chat(loaded, DecodingSettings(max_new_tokens=max_new_tokens))
    events = list(chat.ask(text, [tiny.image(number, 50)]))
    assert isinstance(events[-1], Done)
    return events[-1]


def test_the_auto_classes_give_ours(model: Any, processor: Any) -> None:
    assert type(model) is minigpt4.ecosystem.MiniGPT4ForConditionalGeneration
    assert type(processor) is minigpt4.ecosystem.MiniGPT4Processor
    assert type(processor.image_processor) is minigpt4.ecosystem.MiniGPT4ImageProcessor


def test_logits_are_ours(loaded: LoadedModel, model: Any) -> None:
    probe = probe_of(loaded, without=model.config.image_token_id)
    ids = probe.with_place_holder(model.config.image_token_id)
    with torch.no_grad():
        theirs = model(input_ids=ids, pixel_values=probe.pixel_values).logits
    assert difference(logits_of(loaded.model, probe), theirs) <= 1e-6


def test_ids_and_pixels_are_those_of_chat(loaded: LoadedModel, processor: Any) -> None:
    two_turns = [*messages(QUESTION, 1), {"role": "assistant", "content": "a red rose"}, *messages("and this", 2)]
    inputs = inputs_of(processor, two_turns)
    turns = (Turn("user", f"{IMAGE_MARK} {QUESTION}"), Turn("assistant", "a red rose"),
             Turn("user", f"{IMAGE_MARK} and this"))
    images = tuple(as_image_ref(tiny.image(number, 50)) for number in (1, 2))
    ours = loaded.renderer.render_prompt(Conversation(turns, images))
    slots = torch.tensor(ours.slots)
    assert inputs["input_ids"][0][slots < 0].tolist() == torch.tensor(ours.ids)[slots < 0].tolist()
    assert set(inputs["input_ids"][0][slots >= 0].tolist()) == {processor.image_token_id}
    assert torch.equal(inputs["pixel_values"], torch.stack([pixels_of(loaded)(image) for image in images]))


def test_a_closed_conversation_has_the_ids_of_training() -> None:
    loaded = tiny.model()
    said = (Turn("user", f"{IMAGE_MARK} {QUESTION}"), Turn("assistant", "a red rose"))
    ours = loaded.renderer.render(Conversation(said, (as_image_ref(tiny.image(1)),)))
    closed = [*messages(QUESTION, 1), {"role": "assistant", "content": [{"type": "text", "text": "a red rose"}]}]
    theirs = processor_of(loaded).apply_chat_template(closed, tokenize=True)
    assert theirs[0].tolist() == ours.ids, "id 0 is also this tokenizer's placeholder"


def test_greedy_tokens_are_those_of_chat(loaded: LoadedModel, model: Any, processor: Any) -> None:
    inputs = inputs_of(processor, messages(QUESTION, 1))
    written = model.generate(**inputs, max_new_tokens=NEW_TOKENS)
    new = written[0, inputs["input_ids"].shape[1] :].tolist()
    done = answer(loaded, QUESTION, 1)
    assert len(new) == done.usage.new_tokens
    assert processor.post_process_image_text_to_text([new])[0].strip() == done.text.strip()


def test_beams_see_the_images_of_their_row(loaded: LoadedModel, model: Any, processor: Any) -> None:
    """Two rows with one and two images: copies of a row come with all of its images."""
    rows = [messages(QUESTION, 1), messages(QUESTION, 2, 3)]
    together = inputs_of(processor, rows)
    written = model.generate(**together, max_new_tokens=NEW_TOKENS, num_beams=3)
    for row, text in zip(rows, processor.post_process_image_text_to_text(
            written[:, together["input_ids"].shape[1] :]), strict=True):
        alone = inputs_of(processor, row)
        single = model.generate(**alone, max_new_tokens=NEW_TOKENS, num_beams=3)
        assert processor.post_process_image_text_to_text(single[:, alone["input_ids"].shape[1] :])[0] == text


def test_a_padded_batch_gives_the_tokens_of_singles(model: Any, processor: Any) -> None:
    rows = [messages(QUESTION, 1), messages("describe this image in detail please", 2, 3), messages("你 好")]
    batch = inputs_of(processor, rows)
    assert (batch["attention_mask"][0, 0], batch["attention_mask"][0, -1]) == (0, 1)
    together = model.generate(**batch, max_new_tokens=NEW_TOKENS)[:, batch["input_ids"].shape[1] :]
    for row, new in zip(rows, together.tolist(), strict=True):
        inputs = inputs_of(processor, row)
        alone = model.generate(**inputs, max_new_tokens=NEW_TOKENS)[0, inputs["input_ids"].shape[1] :].tolist()
        assert new[: len(alone)] == alone


def test_the_pipeline_answers_as_chat_does(loaded: LoadedModel, folder: Path, tmp_path: Path) -> None:
    tiny.image(1, 50).save(tmp_path / "rose.png")
    asked = [{"role": "user", "content": [{"type": "image", "url": str(tmp_path / "rose.png")},
                                          {"type": "text", "text": QUESTION}]}]
    ask = pipeline("image-text-to-text", model=str(folder))
    (record,) = ask(asked, max_new_tokens=NEW_TOKENS, return_full_text=False)
    printable = "".join(letter for letter in answer(loaded, QUESTION, 1).text if letter.isalnum())
    assert "".join(letter for letter in record["generated_text"] if letter.isalnum()) == printable
    text = ask.processor.apply_chat_template(asked)
    (as_text,) = ask(images=str(tmp_path / "rose.png"), text=text, max_new_tokens=NEW_TOKENS, return_full_text=False)
    assert as_text["generated_text"] == record["generated_text"]


def test_the_jinja_template_writes_the_same_text(processor: Any) -> None:
    chats = [messages(QUESTION, 1), [{"role": "system", "content": "Be brief."}, *messages(QUESTION, 1)],
             [*messages(QUESTION), {"role": "assistant", "content": "a rose"}, *messages("and this", 2)],
             [*messages(QUESTION), {"role": "assistant", "content": "a rose"}]]
    for chat in chats:
        theirs = processor.apply_chat_template(chat, processor.chat_template)
        assert processor.apply_chat_template(chat) == theirs


def test_our_own_loader_reads_the_folder(loaded: LoadedModel, folder: Path) -> None:
    again = load(folder, device="cpu").loaded
    probe = probe_of(loaded)
    assert torch.equal(logits_of(again.model, probe), logits_of(loaded.model, probe))
    assert again.renderer.chat == loaded.renderer.chat and again.behaviour == loaded.behaviour


def test_saved_again_it_is_the_same(model: Any, processor: Any, tmp_path: Path) -> None:
    """In shards, and with the tokenizer's own files."""
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    processor.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    asked = messages(QUESTION, 1)
    ids = inputs_of(AutoProcessor.from_pretrained(tmp_path), asked)["input_ids"]
    assert torch.equal(ids, inputs_of(processor, asked)["input_ids"])


def test_what_transformers_saved_becomes_a_bundle(loaded: LoadedModel, model: Any, processor: Any, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    model.save_pretrained(tmp_path / "theirs", max_shard_size="100KB")
    processor.save_pretrained(tmp_path / "theirs")
    command = ["weights", "import-transformers", "--from", str(tmp_path / "theirs"), "--target", str(tmp_path / "ours")]
    assert main(command) == 0 and "a bundle of all parts" in capsys.readouterr().out
    again = load(tmp_path / "ours", device="cpu").loaded
    assert torch.equal(probed_logits(again), probed_logits(loaded))
    assert again.renderer.chat == loaded.renderer.chat and again.image_spec == loaded.image_spec


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    export_transformers(tiny.model(), tmp_path / "mine")
    tensors = load_file(tmp_path / "mine" / "model.safetensors")
    del tensors["connector.projection.bias"]
    save_file(tensors, tmp_path / "mine" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="lacks 'connector.projection.bias'; save the whole model"):
        import_transformers(tmp_path / "mine", tmp_path / "ours")
    values = json.loads((tmp_path / "mine" / "config.json").read_text())
    (tmp_path / "mine" / "config.json").write_text(json.dumps({**values, "model_type": "blip-2"}))
    with pytest.raises(UserError, match="belongs to a blip-2, not to a minigpt4; .* use import-blip2"):
        import_transformers(tmp_path / "mine", tmp_path / "ours")


@pytest.mark.parametrize("bits", [{"load_in_8bit": True}, {"load_in_4bit": True}])
def test_transformers_quantises_the_language_model_only(bits: dict[str, bool], tmp_path: Path) -> None:
    export_transformers(tiny.model(), tmp_path / "mine")
    model = MiniGPT4ForConditionalGeneration.from_pretrained(
        tmp_path / "mine", quantization_config=BitsAndBytesConfig(**bits))
    quantised = {name.partition(".")[0] for name, layer in model.named_modules() if is_quantized(layer)}
    assert quantised == {"llm"} and not is_quantized(model.get_output_embeddings())


def test_push_to_hub_sends_what_loads_again(model: Any, processor: Any, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers.utils.hub as hub

    def commit(*, operations: list[Any], **_: Any) -> None:
        for each in operations:
            (tmp_path / each.path_in_repo).write_bytes(Path(each.path_or_fileobj).read_bytes())

    fake = SimpleNamespace(create_repo=lambda name, **_: SimpleNamespace(repo_id=name), create_commit=commit)
    card = SimpleNamespace(save=lambda path: Path(path).write_text("---\nlibrary_name: transformers\n---\n"))
    monkeypatch.setattr(hub, "hf_api", lambda: fake)
    monkeypatch.setattr(hub, "create_and_tag_model_card", lambda *_, **__: card)
    model.push_to_hub("someone/mine")
    processor.push_to_hub("someone/mine")
    sent = {file.name for file in tmp_path.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "processor_config.json",
            "chat_template.jinja", "tokenizer_config.json", "README.md"} <= sent
    asked = inputs_of(AutoProcessor.from_pretrained(tmp_path), messages(QUESTION, 1))
    new = AutoModelForImageTextToText.from_pretrained(tmp_path).generate(**asked, max_new_tokens=NEW_TOKENS)
    assert torch.equal(new, model.generate(**inputs_of(processor, messages(QUESTION, 1)), max_new_tokens=NEW_TOKENS))


def test_a_stop_text_ends_generation_as_in_chat(tmp_path: Path) -> None:
    loaded, limit = tiny.model(), 4 * NEW_TOKENS
    whole = answer(loaded, QUESTION, 1, limit).text
    stop = next(letter for letter in whole[2:] if letter.isalnum() and letter not in whole[:2])
    loaded.renderer.chat = replace(loaded.renderer.chat, stops=(stop,))
    export_transformers(loaded, tmp_path / "mine")
    model = MiniGPT4ForConditionalGeneration.from_pretrained(tmp_path / "mine")
    inputs = inputs_of(processor := MiniGPT4Processor.from_pretrained(tmp_path / "mine"), messages(QUESTION, 1))
    new = model.generate(**inputs, max_new_tokens=limit)[0, inputs["input_ids"].shape[1] :]
    done = answer(loaded, QUESTION, 1, limit)
    assert done.reason == "stop" and len(new) == done.usage.new_tokens < limit
    assert processor.decode(new).split(stop)[0].strip() == done.text.strip()


def test_an_answer_can_be_begun(tmp_path: Path) -> None:
    processor = processor_of(tiny.model())
    begun = [*messages(QUESTION, 1), {"role": "assistant", "content": "a red"}]
    whole = inputs_of(processor, messages(QUESTION, 1))["input_ids"][0].tolist()
    ids = processor.apply_chat_template(begun, tokenize=True, continue_final_message=True)[0].tolist()
    assert ids[: len(whole)] == whole and processor.decode(ids[len(whole) :]) == "a red"
    assert processor.apply_chat_template(begun, continue_final_message=True).endswith("Assistant: a red")


def test_the_loss_of_labels_is_the_models(tmp_path: Path) -> None:
    loaded = tiny.model()
    export_transformers(loaded, tmp_path / "mine")
    model = MiniGPT4ForConditionalGeneration.from_pretrained(tmp_path / "mine")
    inputs = inputs_of(processor_of(loaded), messages(QUESTION, 1))
    output = model(**inputs, labels=inputs["input_ids"])
    output.loss.backward()
    assert model.connector.projection.weight.grad.abs().max() > 0


def test_tied_embeddings_stay_tied(tmp_path: Path) -> None:
    section = tiny.config()
    llm = replace(section.llm, random={**section.llm.random, "tie_word_embeddings": True})
    loaded = tiny.model(llm=llm)
    export_transformers(loaded, tmp_path / "mine")
    model = MiniGPT4ForConditionalGeneration.from_pretrained(tmp_path / "mine")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    model.save_pretrained(tmp_path / "again")
    again = MiniGPT4ForConditionalGeneration.from_pretrained(tmp_path / "again")
    assert torch.equal(again.get_output_embeddings().weight, loaded.model.llm.model.lm_head.weight)


def test_mistakes_are_told() -> None:
    processor = processor_of(tiny.model())
    with pytest.raises(UserError, match="has 0 <ImageHere> for 1 image.s.; .* apply_chat_template"):
        processor(images=tiny.image(1), text="what is this")
    with pytest.raises(UserError, match="contains a block of type 'video'; use text and image"):
        processor.apply_chat_template([{"role": "user", "content": [{"type": "video"}]}])
    with pytest.raises(UserError, match="has role 'tool'"):
        processor.apply_chat_template([{"role": "tool", "content": ""}])
    with pytest.raises(UserError, match="return_tensors: is 'np'; use 'pt'"):
        processor(text="a", return_tensors="np")
    with pytest.raises(UserError, match=f"cannot contain {IMAGE_MARK}"):
        processor.apply_chat_template([{"role": "user", "content": f"{IMAGE_MARK} x"}])


def test_fillers_are_never_taken_for_images() -> None:
    processor = processor_of(tiny.model())
    processor.tokenizer.pad_token = "<unk>"
    assert processor.image_token_id == processor.tokenizer.pad_token_id
    inputs = inputs_of(processor, [messages(QUESTION, 1), messages("describe this image in detail please", 2)])
    assert (inputs["input_ids"] == processor.image_token_id).sum() == 2 * processor.tokens_per_image
    with pytest.raises(UserError, match="text: contains '<unk>', which stands for images here"):
        processor(text="what is <unk>")


@pytest.mark.parametrize(("dtype", "visual"), [(torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)])
def test_half_precision_answers(dtype: torch.dtype, visual: torch.dtype, tmp_path: Path) -> None:
    """float16 is too narrow for the visual parts: they stay in fp32 beside it."""
    loaded = tiny.model()
    export_transformers(loaded, tmp_path / "mine")
    model = MiniGPT4ForConditionalGeneration.from_pretrained(tmp_path / "mine", dtype=dtype)
    inputs = inputs_of(processor_of(loaded), messages(QUESTION, 1)).to(dtype=dtype)
    assert {parameter.dtype for parameter in model.vision.parameters()} == {visual}
    assert {parameter.dtype for parameter in model.llm.parameters()} == {dtype}
    assert model.generate(**inputs, max_new_tokens=4).shape[1] == inputs["input_ids"].shape[1] + 4


@pytest.mark.parametrize("on_disk", ["vision", "llm"])
def test_parts_may_lie_on_disk(on_disk: str, tmp_path: Path) -> None:
    """device_map: what accelerate spreads gives the same tokens; stages of the visual path stay whole."""
    loaded = tiny.model()
    export_transformers(loaded, tmp_path / "mine")
    places = {name: "disk" if name == on_disk else "cpu" for name in loaded.model.parts()}
    spread = MiniGPT4ForConditionalGeneration.from_pretrained(
        tmp_path / "mine", device_map=places, offload_folder=str(tmp_path / "offloaded"))
    assert {"ConvNet", "QFormer", "LinearConnector", "LlamaDecoderLayer"} <= set(spread._no_split_modules)
    inputs = inputs_of(processor_of(loaded), messages(QUESTION, 1))
    whole = MiniGPT4ForConditionalGeneration.from_pretrained(tmp_path / "mine")
    assert torch.equal(spread.generate(**inputs, max_new_tokens=3), whole.generate(**inputs, max_new_tokens=3))


@pytest.mark.parametrize(("stated", "line"), [
    ({"vision": "mit", "llm": "mit"}, "license: mit\n"), ({"vision": "mit", "llm": "llama2"}, ""),
    ({"vision": "mit", "llm": "unknown"}, ""), ({}, ""),
])
def test_the_card_states_the_licence_of_all_parts(stated: dict[str, str], line: str) -> None:
    loaded = tiny.model()
    manifest = {"parts": {name: {"licence": stated.get(name)} for name in loaded.model.parts()}}
    card = model_card(loaded, manifest, name="mine")
    assert f"pipeline_tag: image-text-to-text\n{line}tags:" in card
    assert all((f"its files: {licence}" in card) == (licence != "unknown") for licence in stated.values())


@pytest.mark.parametrize("page", ["docs/weights.md", "README.md of the folder"])
def test_the_printed_lines_work(page: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:
    export_transformers(tiny.model(), tmp_path / "my_model")
    tiny.image(1).save(tmp_path / "rose.jpg")
    monkeypatch.chdir(tmp_path)
    place = project / page if page.startswith("docs") else tmp_path / "my_model" / "README.md"
    (lines,) = [block for block in blocks(place, "python") if "minigpt4.ecosystem" in block]
    exec(lines, {})
    assert capsys.readouterr().out.strip()


def test_the_card_says_how_it_is_used(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: image-text-to-text" in card and "import minigpt4.ecosystem" in card
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "minigpt4" and config["recipe"]["vision"]["weights"] is None
