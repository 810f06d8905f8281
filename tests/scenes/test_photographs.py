"""Photographs of the embedded default: measured colours, images that show nothing known, the album, labels."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch
from PIL import Image

from minigpt4.common.errors import UserError
from minigpt4.scenes.data.album import KEPT_BACK, read_album
from minigpt4.scenes.drawing import FILLS
from minigpt4.scenes.labels import ATTRIBUTES, WHOLE, labels_of_photograph
from minigpt4.scenes.photographs.colours import colour_shares, main_colour
from minigpt4.scenes.photographs.outliers import outlier
from minigpt4.scenes.photographs.photograph import MAIN_COLOURS, SUBJECTS, UNKNOWN, Photograph
from minigpt4.scenes.photographs.varying import varied


@pytest.mark.parametrize(("pixel", "name"), [
    ((10, 12, 11), "black"), ((250, 250, 252), "white"), ((128, 128, 130), "grey"), ((110, 70, 40), "brown"),
    ((222, 205, 170), "beige"), ((250, 150, 160), "pink"), *((FILLS[name], name) for name in
    ("red", "orange", "yellow", "green", "blue", "purple", "pink")),
])
def test_the_main_colour_is_the_one_a_person_would_name(pixel: tuple[int, int, int], name: str) -> None:
    assert main_colour(Image.new("RGB", (40, 30), pixel)) == name


def test_shares_are_counted_by_area() -> None:
    image = Image.new("RGB", (60, 40), (30, 160, 60))
    image.paste((20, 60, 220), (0, 0, 15, 40))
    shares = dict(zip(MAIN_COLOURS, colour_shares(image), strict=True))
    assert shares["green"] == pytest.approx(0.75) and shares["blue"] == pytest.approx(0.25)


@pytest.fixture
def album_folder(tmp_path: Path) -> Path:
    """Four photographs of each subject, in one colour each."""
    lines = []
    for index, subject in enumerate(SUBJECTS):
        for number in range(4):
            name = f"{subject}_{number}.png"
            Image.new("RGB", (48, 32), (20 * index, 90, 40 * number)).save(tmp_path / name)
            lines.append(json.dumps({"image": name, "class": subject}))
    (tmp_path / "captions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_the_last_of_every_subject_are_kept_back(album_folder: Path) -> None:
    album = read_album(album_folder)
    assert len(album.kept_back) == KEPT_BACK * len(SUBJECTS) and len(album.training) == 2 * len(SUBJECTS)
    assert not {each.path for each in album.training} & {each.path for each in album.kept_back}
    known = [album.photograph(Random(number), 0.0) for number in range(30)]
    assert {each.subject for each in known} <= set(SUBJECTS) and len({each.subject for each in known}) > 5
    unknown = album.photograph(Random(1), 1.0)
    assert unknown.subject == UNKNOWN and unknown.image is not None and unknown.image.size == (96, 96)


@pytest.mark.parametrize(("line", "sentence"), [
    ('{"image": "rose_0.png", "class": "roze"}', "unknown class 'roze'.*rose"),
    ('{"image": "gone.png", "class": "rose"}', "'gone.png' is not there"),
    ("[1]", "names no photograph"), ("{", "names no photograph"),
])
def test_a_wrong_line_of_an_album_is_named(album_folder: Path, line: str, sentence: str) -> None:
    with (album_folder / "captions.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n" + line)
    with pytest.raises(UserError, match=sentence) as raised:
        read_album(album_folder)
    assert raised.value.where.endswith("captions.jsonl:41")


def test_outliers_follow_from_their_seed_and_differ() -> None:
    def any_photograph(random: Random) -> Image.Image:
        return Image.effect_mandelbrot((60, 40), (-2, -1.2, 1, 1.2), random.randint(20, 90)).convert("RGB")

    images = [outlier(Random(seed), any_photograph, 32) for seed in range(40)]
    again = [outlier(Random(seed), any_photograph, 32) for seed in range(40)]
    assert all(one.tobytes() == other.tobytes() for one, other in zip(images, again, strict=True))
    assert {image.size for image in images} == {(32, 32)} and len({image.tobytes() for image in images}) > 35


def test_a_varied_photograph_is_a_square_part_of_it() -> None:
    image = Image.new("RGB", (200, 64), (200, 40, 40))
    assert main_colour(varied(image, Random(3), 96)) == "red"


def test_labels_of_a_photograph_hold_for_every_quarter() -> None:
    labels = labels_of_photograph(Photograph("tulip", "green"))
    names = list(ATTRIBUTES)
    assert labels.shape == (4, len(ATTRIBUTES))
    read = {name: ATTRIBUTES[name][int(labels[0, index])] for index, name in enumerate(names)}
    assert read == {"kind": "tulip", "colour": "mainly green", "size": WHOLE, "count": WHOLE, "place": "top left",
                    "background": WHOLE}
    same = [index for index, name in enumerate(names) if name != "place"]
    assert torch.equal(labels[:, same], labels[:1, same].expand(4, -1))
