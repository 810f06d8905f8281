"""What `data show` and `data validate` tell, and the tokenizer for small models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from minigpt4.common.errors import UserError
from minigpt4.datasets.checking import read_all
from minigpt4.datasets.dataset import FirstSamples
from minigpt4.datasets.formats.shards import open_shards
from minigpt4.datasets.inspection import contact_sheet, marked_text, stretches, texts_of, visible
from minigpt4.datasets.tokenizer_training import train_tokenizer
from minigpt4.processors.captions import Identity
from minigpt4.processors.resizing import to_pixel_values
from minigpt4.records.batches import IGNORED_LABEL, Rendered
from minigpt4.records.images import CLIP_MEAN, CLIP_STD, ImageSpec
from tests.datasets.data_fakes import FakeDataset, image_bytes, pair, write_tar


class Letters:
    """Ids are characters."""

    def decode(self, ids: Sequence[int], *, skip_specials: bool = True) -> str:
        return "".join(map(chr, ids))


def test_u20_what_is_learned_is_marked() -> None:
    ids = [ord("<"), 0, 0, ord("?"), ord("A"), ord("B"), ord("?"), ord("C")]
    learned = [IGNORED_LABEL] * 4 + ids[4:6] + [IGNORED_LABEL] + ids[7:]
    rendered = Rendered(ids, learned, [-1, 0, 1, -1, -1, -1, -1, -1], (2,))
    parts = stretches(rendered, Letters())
    assert marked_text(parts, colored=False) == "<<image: 2 tokens>?[[AB]]?[[C]]"
    assert marked_text(parts, colored=True) == "<<image: 2 tokens>?\033[32mAB\033[0m?\033[32mC\033[0m"


def test_visible_undoes_normalisation() -> None:
    image = Image.new("RGB", (4, 4), (200, 30, 120))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    assert visible(to_pixel_values(image, mean, std), ImageSpec(size=4)).getpixel((1, 1)) == (200, 30, 120)


def test_contact_sheet_shows_every_image() -> None:
    colors = ["red", "green", "blue", "orange", "purple"]
    sheet = contact_sheet([(Image.new("RGB", (8, 8), color), f"a {color} square " * 20) for color in colors], columns=2)
    found = {sheet.getpixel((x, y)) for x in range(0, sheet.width, 8) for y in range(0, sheet.height, 8)}
    assert {Image.new("RGB", (1, 1), color).getpixel((0, 0)) for color in colors} <= found


@pytest.mark.parametrize("workers", [0, 1])
def test_read_all_counts_by_cause(tmp_path: Path, workers: int) -> None:
    members = {**pair("0"), **pair("1", " "), **pair("2", " "), "3.jpg": b"<html>", "3.txt": b"x",
               "4.jpg": image_bytes(), "4.txt": b"fine"}
    dataset = open_shards("own", str(write_tar(tmp_path / "a.tar", members)), Identity())
    findings = read_all(dataset, num_workers=workers)
    assert (findings.num_samples, findings.num_images) == (5, 2)
    assert findings.causes() == [("caption is empty after stripping white space", 2), ("not an image (HTML text)", 1)]


def test_texts_leave_out_marks_and_what_cannot_be_read() -> None:
    dataset = FirstSamples(FakeDataset("a", 9, bad=frozenset({1})), 3)
    assert [text for text in texts_of(dataset) if text] == ["a", "aaa"]


def test_tokenizer_opens_with_transformers_and_writes_any_text(tmp_path: Path) -> None:
    from minigpt4.conversation.tokenizer import open_tokenizer

    size = train_tokenizer(["a red rose", "a red shirt"] * 50, 300, tmp_path / "tok", ["[PAD]"])
    tokenizer = open_tokenizer(tmp_path / "tok")
    assert tokenizer.vocab_size == size <= 300
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.special_tokens["[PAD]"]) == (1, 2, 3)
    for text in ("a red rose", "Grüße 图 \n", " two  blanks"):
        assert tokenizer.decode(tokenizer.encode(text, specials=False)) == text
    assert len(tokenizer.encode("a red rose", specials=False)) < 6
    assert 2 not in tokenizer.encode("</s>", specials=False)


def test_tokenizer_refuses_small_sizes_and_full_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--vocab-size: is 100; use 259 or more"):
        train_tokenizer(["a"], 100, tmp_path / "tok")
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UserError, match="is not empty"):
        train_tokenizer(["a"], 300, tmp_path)
