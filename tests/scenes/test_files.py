"""Written scenes: whole, the same for the same seed, read by the builders of real data, nothing held out among them."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from minigpt4.cli._scenes import add_scenes_verb
from minigpt4.common.errors import UserError
from minigpt4.datasets.assembly import build_dataset
from minigpt4.datasets.config import BuildInfo, DatasetConfig
from minigpt4.datasets.dataset import IndexedDataset
from minigpt4.records.conversations import IMAGE_MARK, Conversation, Sample
from minigpt4.scenes.combinations import held_out, in_training
from minigpt4.scenes.data.files import EVALUATION_SPLITS, ScenesPlan, write_scenes
from minigpt4.scenes.data.splits import read_split, scene_of
from minigpt4.scenes.words.languages import LANGUAGES
from minigpt4.scenes.words.questions import QUESTION_TYPES
from tests.scenes.namings import namings

SMALL = ScenesPlan(seed=3, stage1=12, stage2=4, dialogues=8, newcomers=6, eval=3)
VARIANTS = (0, 1)


@pytest.fixture(scope="module", params=VARIANTS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A written folder and its variant of held-out combinations."""
    folder = tmp_path_factory.mktemp("scenes") / "out"
    write_scenes(folder, ScenesPlan(seed=3, stage1=40, stage2=20, dialogues=40, newcomers=40, eval=5,
                                    held_out_variant=request.param))
    return folder, request.param


def _dataset(builder: str, storage: Path, annotations: Path | None = None) -> IndexedDataset:
    info = BuildInfo(storage=str(storage), annotations=str(annotations) if annotations else None)
    return build_dataset(builder, DatasetConfig(build_info=info))


def _training_sets(folder: Path) -> list[IndexedDataset]:
    return [
        _dataset("cc_sbu", folder / "stage1"), _dataset("cc_sbu_align", folder / "stage2"),
        _dataset("llava_instruct", folder / "dialogues", folder / "dialogues" / "conversations.json"),
    ]


def _conversation(dataset: IndexedDataset, number: int) -> Conversation:
    sample = dataset.sample(number)
    assert isinstance(sample, Sample), sample
    return sample.conversation


def test_builders_of_real_data_read_them(written: tuple[Path, int]) -> None:
    captions, descriptions, dialogues = _training_sets(written[0])
    assert (len(captions), len(descriptions), len(dialogues)) == (40, 20, 40)
    assert _conversation(captions, 0).turns[0].text == IMAGE_MARK
    assert _conversation(descriptions, 19).turns[1].text.startswith("The image shows ")
    asked = _conversation(dialogues, 0)
    assert asked.turns[0].text.startswith(f"{IMAGE_MARK} ") and len(asked.images) == 1


def test_nothing_held_out_is_in_training_words(written: tuple[Path, int]) -> None:
    folder, variant = written
    forbidden = [naming for language in LANGUAGES for naming in namings(variant, language)]
    for dataset in _training_sets(folder):
        for number in range(len(dataset)):
            for turn in _conversation(dataset, number).turns:
                assert not [naming for naming in forbidden if naming in turn.text], turn.text


def test_nothing_held_out_is_in_training_images(written: tuple[Path, int]) -> None:
    folder, variant = written
    records = json.loads((folder / "stage2" / "filter_cap.json").read_text())["annotations"]
    records += json.loads((folder / "dialogues" / "conversations.json").read_text())
    scenes = [scene_of(record["scene"]) for record in records]
    assert {group.pair for scene in scenes for group in scene.groups} <= in_training(variant)


def test_evaluation_asks_every_type_in_every_language(written: tuple[Path, int]) -> None:
    folder, variant = written
    for split, allowed in zip(EVALUATION_SPLITS, (in_training(variant), held_out(variant)), strict=True):
        asked = read_split(folder / split)
        assert len(asked) == 5 and all(each.image.is_file() for each in asked)
        assert {group.pair for each in asked for group in each.scene.groups} <= allowed
        for each in asked:
            assert {(one.type, one.language) for one in each.exchanges} >= {
                (type, language) for type in QUESTION_TYPES for language in LANGUAGES
            }


def test_limits_and_missing_splits(written: tuple[Path, int], tmp_path: Path) -> None:
    assert len(read_split(written[0] / "seen", limit=2)) == 2
    with pytest.raises(UserError, match="minigpt4 data scenes --output"):
        read_split(tmp_path / "seen")


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_writes_the_same_bytes_and_more_samples_keep_the_first(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_scenes(tmp_path / name, SMALL)
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")
    write_scenes(tmp_path / "more", ScenesPlan(seed=3, stage1=20, stage2=6, dialogues=9, newcomers=7, eval=4))
    small, more = _digests(tmp_path / "one"), _digests(tmp_path / "more")
    assert all(more[name] == digest for name, digest in small.items() if name.endswith(".png"))
    lines = [(tmp_path / name / "seen" / "scenes.jsonl").read_text().splitlines() for name in ("one", "more")]
    assert lines[1][: len(lines[0])] == lines[0]
    first, longer = (_dataset("cc_sbu", tmp_path / name / "stage1") for name in ("one", "more"))
    assert all(_conversation(first, i).turns == _conversation(longer, i).turns for i in range(SMALL.stage1))


def test_another_seed_writes_other_scenes(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_scenes(tmp_path / str(seed), ScenesPlan(seed=seed, stage1=1, stage2=1, dialogues=1, newcomers=1, eval=1))
    assert _digests(tmp_path / "1")["seen/scenes.jsonl"] != _digests(tmp_path / "2")["seen/scenes.jsonl"]


def test_mistakes_are_told(tmp_path: Path) -> None:
    write_scenes(tmp_path / "there", ScenesPlan(stage1=1, stage2=1, dialogues=1, newcomers=1, eval=1))
    with pytest.raises(UserError, match="already exists"):
        write_scenes(tmp_path / "there", SMALL)
    with pytest.raises(UserError, match="held_out_variant: is 2"):
        ScenesPlan(held_out_variant=2)
    with pytest.raises(UserError, match="stage2: is 0"):
        ScenesPlan(stage2=0)


def test_progress_counts_every_image(tmp_path: Path) -> None:
    seen: list[int] = []
    write_scenes(tmp_path / "out", SMALL, lambda: seen.append(1))
    assert len(seen) == SMALL.total - SMALL.photographs  # there is no album


@pytest.mark.parametrize("line", ["{", "[]", "3", "{}", "9" * 9999, '{"exchanges": [{}], "image": "a", "scene": {}}',
                                  '{"exchanges": [], "image": "a.png", "scene": {"groups": [], "background": "x", '
                                  '"layout_seed": 1}}'])
def test_a_line_of_a_split_that_is_something_else_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "scenes.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(UserError, match=r"scenes.jsonl:2: is no scene with questions \("):
        read_split(tmp_path)
    (tmp_path / "scenes.jsonl").write_bytes(b"\n\xff")
    with pytest.raises(UserError, match="scenes.jsonl:2: is not UTF-8 text"):
        read_split(tmp_path)


def test_the_command_draws_what_the_plan_says() -> None:
    """Both state the usual amounts: the flags' help must not import what draws."""
    parser = argparse.ArgumentParser()
    add_scenes_verb(parser.add_subparsers())
    flags = vars(parser.parse_args(["scenes", "--output", "x"]))
    plan = dataclasses.asdict(ScenesPlan())
    assert {name: flags[name] for name in plan} == plan
