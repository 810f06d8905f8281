"""Chat prompts, greedy, beam and sampled ids of the originals' chat (fp32, CPU; ids exact, logits 5e-5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest
import torch

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.conversation.pieces import text_of
from minigpt4.conversation.sentencepiece_tokenizer import SentencePieceTokenizer
from minigpt4.generation.engine import Engine
from minigpt4.generation.prompt import Prompt, cut_from_left, embed_prompt
from minigpt4.generation.settings import DecodingSettings
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Turn
from minigpt4.records.images import ImageRef
from tests.parity import minigpt4_folder as oracle

LOGITS_TOLERANCE = 5e-5
SEED = re.compile(r"manual_seed\((\d+)\)")
"""how a sampled case says which seed was set before each generate"""


def _model(case: oracle.Case) -> LoadedModel:
    values = {"prompt_template": "[INST] {} [/INST] "} if "INST" in case.values["roles"][0] else {}
    return oracle.model(q_former=oracle.is_q_former(case), april=case.april, **values)


def _conversations(case: oracle.Case) -> Iterator[Conversation]:
    """The conversation before each answer, as the originals' `ask` wrote it: one user turn an image."""
    images = tuple(ImageRef(data=b"", name=name) for name in case.values["images"])
    shown = len(images)
    turns = [Turn("user", IMAGE_MARK) for _ in images]
    for recorded in case.values["turns"]:
        question = recorded["question"]
        if shown:
            turns[-1] = Turn("user", f"{IMAGE_MARK} {question}")
            shown = 0
        else:
            turns.append(Turn("user", question))
        yield Conversation(tuple(turns), images)
        turns.append(Turn("assistant", recorded["answer_text"]))


def _prompt(loaded: LoadedModel, conversation: Conversation) -> Prompt:
    pixels = oracle.pixels([image.name for image in conversation.images])
    tokens = loaded.model.encode_images({"pixel_values": pixels}).detach()
    numbers = [str(number) for number in range(len(conversation.images))]
    return embed_prompt(loaded.model, loaded.renderer.render_prompt(conversation), tokens, numbers)


def _layout(prompt: Prompt) -> list[int]:
    """As recorded: ids, and -1-(1000*image+k) at token k of an image."""
    return [key if isinstance(key, int) else -1 - (1000 * int(key[0]) + key[1]) for key in prompt.keys]


def _settings(recorded: dict[str, Any], case: oracle.Case) -> DecodingSettings:
    keywords, seed = recorded["kwargs"], SEED.search(case.values["decoding"])
    return DecodingSettings(
        max_new_tokens=keywords["max_new_tokens"], num_beams=keywords["num_beams"],
        min_new_tokens=max(0, keywords["min_length"] - 1),  # the originals counted the BOS that stands before
        top_p=keywords["top_p"], temperature=keywords["temperature"],
        repetition_penalty=keywords["repetition_penalty"], length_penalty=keywords["length_penalty"],
        do_sample=seed is not None, seed=int(seed[1]) if seed else None,
        max_context=case.values["answer_args"].get("max_length"),
    )


@pytest.mark.parametrize("name", oracle.case_names("chat_"))
def test_chat(name: str) -> None:
    case = oracle.read_case(name)
    loaded = _model(case)
    engine = Engine(loaded)
    for number, (recorded, conversation) in enumerate(zip(case.values["turns"], _conversations(case), strict=True)):
        prompt = _prompt(loaded, conversation)
        settings = _settings(recorded, case)
        fitted = cut_from_left(prompt, settings.max_new_tokens, settings.max_context or 2000)
        assert _layout(fitted) == recorded["context_layout"]
        assert len(fitted) == recorded["context_len_after_cut"]
        _compare_embeddings_and_logits(case, number, fitted, engine)

        answer = engine.answer(prompt, settings, stop_ids=case.values["stop_ids"])
        assert list(answer.ids) == recorded["output_ids_raw"][1:]
        assert _original_text(loaded, answer.ids, april=case.april) == recorded["answer_text"]


def _compare_embeddings_and_logits(case: oracle.Case, number: int, prompt: Prompt, engine: Engine) -> None:
    embeddings = case.tensors.get(f"turn{number}.context_embeds")
    if embeddings is not None:
        torch.testing.assert_close(prompt.embeddings, embeddings[0], atol=1e-5, rtol=0)
    with torch.no_grad():
        logits = engine.llm(inputs_embeds=prompt.embeddings[None]).logits[0, -1]
    torch.testing.assert_close(logits, case.tensors[f"turn{number}.first_logits"][0], atol=LOGITS_TOLERANCE, rtol=0)


def _original_text(loaded: LoadedModel, ids: tuple[int, ...], *, april: bool) -> str:
    """The originals' way to a text: cut at '###', keep what follows the last 'Assistant:'."""
    tokenizer = loaded.tokenizer
    assert isinstance(tokenizer, SentencePieceTokenizer)
    names = tokenizer.special_tokens
    special = {number for name, number in names.items() if tokenizer.model.PieceToId(name) == number}
    left_out = set() if april else {*special, loaded.renderer.pad_token_id}
    stretches = _stretches([number for number in ids if number not in left_out], tokenizer, special)
    return " ".join(stretches).split("###")[0].split("Assistant:")[-1].strip()


def _stretches(ids: list[int], tokenizer: SentencePieceTokenizer, special: set[int]) -> Iterator[str]:
    """The slow tokenizer of transformers 4: tokens added to the vocabulary stand alone, others are decoded together."""
    added = {number: name for name, number in tokenizer.special_tokens.items() if number not in special}
    for is_added, group in groupby(ids, key=added.__contains__):
        together = list(group)
        yield from [added[number] for number in together] if is_added else [_decoded(together, tokenizer, special)]


def _decoded(ids: list[int], tokenizer: SentencePieceTokenizer, special: set[int]) -> str:
    """Its way to write `</s>` inside a text: a blank before all that precedes it."""
    text, plain = "", list[int]()
    for position, number in enumerate(ids):
        if number not in special:
            plain.append(number)
            continue
        blank = " " if position and ids[position - 1] not in special else ""
        text += blank + tokenizer.model.DecodeIds(plain) + tokenizer.model.IdToPiece(number)
        plain = []
    return text + tokenizer.model.DecodeIds(plain)


@pytest.mark.parametrize("name", oracle.case_names("chat_"))
def test_every_prompt_is_the_recorded_text(name: str) -> None:
    case = oracle.read_case(name)
    template = _model(case).renderer.chat
    for recorded, conversation in zip(case.values["turns"], _conversations(case), strict=True):
        pieces = template.pieces(conversation)
        text = text_of(pieces, IMAGE_MARK)
        assert text == recorded["prompt"]


@pytest.mark.parametrize("name", oracle.case_names("generate_batch"))
def test_batched_generation(name: str) -> None:
    """The base class's batched `generate`: left padding, no stop (docs/originals/minigpt4.md#batched-generation)."""
    case = oracle.read_case(name)
    loaded = oracle.model()
    prompts = []
    for image, text in zip(case.values["images"], case.values["texts"], strict=True):
        ids = [token for stretch in _split(loaded, text) for token in stretch]
        tokens = loaded.model.encode_images({"pixel_values": oracle.pixels([image])}).detach()
        slots, count = [], 0
        for token in ids:
            slots.append(count if token < 0 else -1)
            count += token < 0
        embedded = loaded.model.embed(torch.tensor([ids]).clamp_min(0), torch.tensor([slots]), tokens)[0].detach()
        prompts.append(Prompt(embedded, tuple(ids)))
    keywords = case.values["kwargs"]
    settings = DecodingSettings(max_new_tokens=keywords["max_new_tokens"], num_beams=keywords["num_beams"],
                                length_penalty=keywords["length_penalty"], do_sample=keywords["do_sample"])
    rows = Engine(loaded).answer_batch(prompts, settings)
    recorded = case.tensors["output_ids_raw"][:, 1:].tolist()
    for row, expected in zip(rows, recorded, strict=True):
        assert list(row.ids) == expected[: len(row.ids)]
        assert set(expected[len(row.ids) :]) <= {0, loaded.tokenizer.eos_token_id}


def _split(loaded: LoadedModel, text: str) -> Iterator[list[int]]:
    """BOS, then each stretch between image marks encoded alone; image tokens are -1."""
    yield [loaded.tokenizer.bos_token_id or 0]
    for number, stretch in enumerate(text.split(IMAGE_MARK)):
        if number:
            yield [-1] * loaded.renderer.tokens_per_image
        yield loaded.tokenizer.encode(stretch, specials=True)
