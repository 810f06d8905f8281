"""A batch gives the tokens of singles; the cache gives the tokens of a fresh run; a swapped image meets no old
cache."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from transformers.cache_utils import DynamicLayer

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.generation.engine import Engine
from minigpt4.generation.prompt import Prompt, embed_prompt
from minigpt4.generation.roomy_cache import RoomyLayer
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.images import ImageTokens, as_image_ref
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from tests import tiny

SETTINGS = DecodingSettings(max_new_tokens=12)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny.model()


def prompt_of(loaded: LoadedModel, question: str, images: list[int], answered: str | None = None) -> Prompt:
    references = tuple(as_image_ref(tiny.image(number)) for number in images)
    turns = [Turn("user", " ".join([IMAGE_MARK] * len(images) + [question]).strip())]
    if answered is not None:
        turns += [Turn("assistant", answered), Turn("user", "what is this")]
    tokens, digests = ImageTokens(loaded).of(references)
    conversation = Conversation(tuple(turns), references)
    return embed_prompt(loaded.model, loaded.renderer.render_prompt(conversation), tokens, digests)


@pytest.mark.parametrize("settings", [SETTINGS, DecodingSettings(max_new_tokens=8, num_beams=3)])
def test_u45_a_batch_of_four_gives_the_tokens_of_four_singles(loaded: LoadedModel, settings: DecodingSettings) -> None:
    prompts = [
        prompt_of(loaded, "what", [1]), prompt_of(loaded, "describe this image in detail", [2]),
        prompt_of(loaded, "a red rose", []), prompt_of(loaded, "is this the table", [3, 4]),
    ]
    engine = Engine(loaded)
    singles = [engine.answer(prompt, settings).ids for prompt in prompts]
    assert [answer.ids for answer in engine.answer_batch(prompts, settings)] == singles
    assert len(set(singles)) > 1, "rows that are all alike prove nothing"


@pytest.mark.parametrize("rows", [1, 2, 3, 8])
def test_rows_that_are_refilled_give_the_tokens_of_singles(loaded: LoadedModel, rows: int) -> None:
    """float32, greedy, prompts and answers of many lengths."""
    words = ("what", "describe this image in detail", "a red rose", "is this the table", "你 好 世 界")
    prompts = [prompt_of(loaded, " ".join(words[: 1 + number % 5]), [1] * (number % 3)) for number in range(11)]
    engine = Engine(loaded)
    free = engine.answer(prompts[0], SETTINGS)
    stop = loaded.tokenizer.decode(free.ids[:2])
    stopping = tiny.model()
    object.__setattr__(stopping.renderer.chat, "stops", (stop,))
    engine = Engine(stopping)
    singles = [engine.answer(prompt, SETTINGS) for prompt in prompts]
    answers = list(engine.answers(iter(prompts), SETTINGS, rows=rows))
    object.__setattr__(stopping.renderer.chat, "stops", ("###",))
    assert [answer.ids for answer in answers] == [answer.ids for answer in singles]
    assert [answer.reason for answer in answers] == [answer.reason for answer in singles]
    assert len({len(answer.ids) for answer in answers}) > 1, "rows that all end together refill nothing"


@pytest.mark.parametrize("settings", [
    DecodingSettings(max_new_tokens=6, num_beams=2), DecodingSettings(max_new_tokens=6, repetition_penalty=1.3),
    DecodingSettings(max_new_tokens=9, min_new_tokens=9),
])
def test_other_ways_of_decoding_give_the_tokens_of_singles_too(loaded: LoadedModel, settings: DecodingSettings) -> None:
    prompts = [prompt_of(loaded, text, [number]) for number, text in enumerate(("what", "a red rose", "this image"))]
    engine = Engine(loaded)
    singles = [engine.answer(prompt, settings).ids for prompt in prompts]
    assert [answer.ids for answer in engine.answers(prompts, settings, rows=2)] == singles


def test_a_prompt_is_taken_when_a_row_is_free(loaded: LoadedModel) -> None:
    taken: list[int] = []
    prompts = [prompt_of(loaded, "what", [number]) for number in range(5)]

    def handed_out() -> Iterator[Prompt]:
        for number, prompt in enumerate(prompts):
            taken.append(number)
            yield prompt

    answers = Engine(loaded).answers(handed_out(), SETTINGS, rows=2)
    next(answers)
    assert len(taken) <= 4


def test_rows_stop_one_by_one(loaded: LoadedModel) -> None:
    """A row that met its stop is finished while the others go on."""
    engine = Engine(loaded)
    prompts = [prompt_of(loaded, "what", [1]), prompt_of(loaded, "a rose", [2])]
    free = [engine.answer(prompt, SETTINGS) for prompt in prompts]
    stop = loaded.tokenizer.decode(free[0].ids[:3])
    stopping = tiny.model()
    object.__setattr__(stopping.renderer.chat, "stops", (stop,))
    answers = Engine(stopping).answer_batch(prompts, SETTINGS)
    object.__setattr__(stopping.renderer.chat, "stops", ("###",))
    assert answers[0].reason == "stop" and len(answers[0].ids) <= 3
    assert stop not in answers[0].text
    assert len(answers[1].ids) > len(answers[0].ids)


def test_the_cache_changes_no_token(loaded: LoadedModel) -> None:
    engine = Engine(loaded)
    cache = engine.new_cache()
    first = engine.answer(prompt_of(loaded, "what is this", [1]), SETTINGS, cache=cache)
    second_prompt = prompt_of(loaded, "what is this", [1], answered=first.text)
    second = engine.answer(second_prompt, SETTINGS, cache=cache)
    assert second.ids == engine.answer(second_prompt, SETTINGS).ids
    assert second.reused > loaded.renderer.tokens_per_image


def test_a_swapped_image_never_meets_an_old_cache(loaded: LoadedModel) -> None:
    engine = Engine(loaded)
    cache = engine.new_cache()
    engine.answer(prompt_of(loaded, "what is this", [1]), SETTINGS, cache=cache)
    other = prompt_of(loaded, "what is this", [2])
    answer = engine.answer(other, SETTINGS, cache=cache)
    before_the_image = next(i for i, key in enumerate(other.keys) if not isinstance(key, int))
    assert answer.reused == before_the_image
    assert answer.ids == engine.answer(other, SETTINGS).ids


def test_the_same_prompt_again_computes_one_position(loaded: LoadedModel) -> None:
    engine = Engine(loaded)
    cache = engine.new_cache()
    prompt = prompt_of(loaded, "what is this", [1])
    first = engine.answer(prompt, SETTINGS, cache=cache)
    again = engine.answer(prompt, SETTINGS, cache=cache)
    assert again.ids == first.ids
    assert again.reused == len(prompt) - 1


def test_a_seed_repeats_a_sampled_answer(loaded: LoadedModel) -> None:
    engine, prompt = Engine(loaded), prompt_of(loaded, "what", [1])
    sampled = DecodingSettings(max_new_tokens=12, do_sample=True, temperature=1.5, top_p=1.0, seed=3)
    state = torch.random.get_rng_state()
    assert engine.answer(prompt, sampled).ids == engine.answer(prompt, sampled).ids
    assert torch.equal(torch.random.get_rng_state(), state), "the global state is left alone"
    other = DecodingSettings(max_new_tokens=12, do_sample=True, temperature=1.5, top_p=1.0, seed=4)
    assert engine.answer(prompt, sampled).ids != engine.answer(prompt, other).ids


def test_too_long_a_conversation_is_refused_instead_of_cut(loaded: LoadedModel) -> None:
    with pytest.raises(UserError, match="positions"):
        Engine(loaded).answer(prompt_of(loaded, "what", [1]), DecodingSettings(max_new_tokens=600))


@pytest.mark.parametrize("values", [{"temperature": 0.0, "do_sample": True}, {"top_p": 0.0}, {"num_beams": 0}])
def test_impossible_settings_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(UserError, match="use "):
        DecodingSettings(**values)  # type: ignore[arg-type]


def test_u9_nan_logits_are_explained() -> None:
    broken = tiny.model(seed=1)
    with torch.no_grad():
        broken.model.llm.model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(UserError, match="model.llm.dtype"):
        Engine(broken).answer(prompt_of(broken, "what", [1]), DecodingSettings(max_new_tokens=4, do_sample=True))


def test_the_cache_with_room_holds_what_transformers_own_holds() -> None:
    """Also after its beginning was cut away, rows were chosen, and tokens were taken back."""
    roomy, plain = RoomyLayer(), DynamicLayer()
    torch.manual_seed(0)
    for number in (5, 1, 1, 80, 1, 2):
        keys, values = torch.randn(2, 3, number, 4), torch.randn(2, 3, number, 4)
        for layer in (roomy, plain):
            layer.update(keys, values)
        assert torch.equal(roomy.keys, plain.keys) and torch.equal(roomy.values, plain.values)
        for layer in (roomy, plain):
            if number == 80:
                layer.keys, layer.values = layer.keys[:, :, 3:], layer.values[:, :, 3:]
            if number == 5:
                layer.crop(-2)
    for layer in (roomy, plain):
        layer.keys, layer.values = layer.keys[[1]], layer.values[[1]]
        layer.update(torch.ones(1, 3, 1, 4), torch.ones(1, 3, 1, 4))
    assert torch.equal(roomy.keys, plain.keys)
    assert roomy.get_seq_length() == plain.get_seq_length()
