"""What conversations keep: images decoded once, caches bounded over all conversations, bounds before work."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.generation.settings import DecodingSettings
from minigpt4.inference.chat import Chat
from minigpt4.inference.images import ImageTokens
from minigpt4.inference.memory import SharedMemory
from minigpt4.processors.images import FittedImages
from tests import tiny

SETTINGS = DecodingSettings(max_new_tokens=6)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny.model()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that are decoded."""
    names: list[str] = []
    original = FittedImages.__call__

    def counted(self, ref, generator=None):  # noqa: ANN001, ANN202
        names.append(ref.name)
        return original(self, ref, generator)

    monkeypatch.setattr(FittedImages, "__call__", counted)
    return names


class Thing:
    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes

    def clear(self) -> None:
        self.nbytes = 0


def test_an_image_is_decoded_once_a_conversation(loaded: LoadedModel, decoded: list[str], tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("rose.png", "table.png")]
    for number, path in enumerate(paths):
        tiny.image(number).save(path)
    chat = Chat(loaded, SETTINGS)
    chat.answer("what is this", [paths[0]])
    chat.answer("and this", [paths[1]])
    chat.answer("what is red")
    list(chat.retry())
    assert decoded == [str(path) for path in paths]


def test_a_file_that_changed_is_another_image(loaded: LoadedModel, tmp_path: Path) -> None:
    chat, path = Chat(loaded, SETTINGS), tmp_path / "frame.png"
    for number in (1, 2):
        tiny.image(number).save(path)
        chat.answer("what is this", [path])
    other = Chat(loaded, SETTINGS)
    other.answer("what is this", [tiny.image(1)])
    assert other.answer("what is this", [tiny.image(2)]) == chat.conversation.turns[-1].text


def test_a_conversation_that_is_put_in_is_looked_at(loaded: LoadedModel, decoded: list[str]) -> None:
    first = Chat(loaded, SETTINGS)
    first.answer("what is this", [tiny.image(1)])
    second = Chat(loaded, SETTINGS)
    second.answer("what is this", [tiny.image(3)])
    second.conversation = first.conversation
    assert second.answer("and this", [tiny.image(2)]) == first.answer("and this", [tiny.image(2)])


def test_the_least_recently_used_is_forgotten_first() -> None:
    memory, things = SharedMemory(10), [Thing(4), Thing(4), Thing(4)]
    for thing in (things[0], things[1], things[0], things[2]):
        memory.used(thing)
    assert [thing.nbytes for thing in things] == [4, 0, 4] and memory.nbytes == 8
    memory.used(large := Thing(11))
    assert large.nbytes == 0 and memory.nbytes == 0


def test_what_is_gone_does_not_count() -> None:
    memory = SharedMemory(10)
    memory.used(thing := Thing(8))
    del thing
    assert memory.nbytes == 0


def test_a_forgotten_conversation_is_computed_again(loaded: LoadedModel) -> None:
    free, bounded = Chat(loaded, SETTINGS), Chat(loaded, SETTINGS, memory=SharedMemory(1))
    for question, images in (("what is this", [tiny.image(1)]), ("and this", [tiny.image(2)]), ("describe", [])):
        assert free.answer(question, images) == bounded.answer(question, images)
    assert bounded.cache.nbytes == bounded.images.nbytes == 0
    assert free.cache.nbytes > 0 and free.images.nbytes > 0
    free.clear()
    assert free.cache.nbytes == free.images.nbytes == 0


def test_images_are_counted_before_one_is_decoded(loaded: LoadedModel, decoded: list[str]) -> None:
    chat = Chat(loaded, SETTINGS)
    with pytest.raises(UserError, match="takes 15000 positions"):
        chat.answer("what is this", [tiny.image(1)] * 5000)
    assert decoded == [] and chat.conversation.images == ()


def test_images_beyond_the_limit_are_refused_by_their_header(loaded: LoadedModel) -> None:
    with pytest.raises(UserError, match="400 pixels, more than 399"):
        Chat(loaded, SETTINGS, max_pixels=399).answer("what is this", [tiny.image(1)])


def test_repeated_images_are_encoded_once(loaded: LoadedModel) -> None:
    images = ImageTokens(loaded)
    chat = Chat(loaded, SETTINGS)
    chat.answer("what is this", [tiny.image(1), tiny.image(1)])
    tokens, digests = images.of(chat.conversation.images)
    assert tokens is not None and tokens.shape[0] == 2 and digests[0] == digests[1]
