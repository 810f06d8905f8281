"""Each builder reads its layout; the section of a YAML finds builder, splits and processors."""

from __future__ import annotations

import itertools
import json
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest

from minigpt4.common.errors import UserError
from minigpt4.common.registry import builders
from minigpt4.datasets.assembly import build_dataset, build_image_processors, build_indexed, build_source
from minigpt4.datasets.captioned_shards import CaptionedShardsConfig
from minigpt4.datasets.config import (
    TRAIN_SPLIT,
    BuildInfo,
    ImageProcessorPair,
    SplitInfo,
    TextProcessorPair,
)
from minigpt4.datasets.formats.stream import ShardStream
from minigpt4.datasets.ledger import Ledger, UnreadableLimits
from minigpt4.datasets.loader import TrainingLoader
from minigpt4.datasets.mixture import Mixture
from minigpt4.processors.captions import TextProcessorConfig
from minigpt4.processors.images import ImageProcessorConfig
from minigpt4.records.conversations import IMAGE_MARK, Sample, Unreadable
from minigpt4.records.images import ImageSpec
from tests.datasets.data_fakes import FakeProcessor, FakeRenderer, image_bytes, pair, write_tar


def config(storage: Path | str, **changed: Any) -> CaptionedShardsConfig:
    info = {key: changed.pop(key) for key in ("annotations", "splits", "samples_per_shard") if key in changed}
    return CaptionedShardsConfig(build_info=BuildInfo(storage=str(storage), **info), **changed)


def turns(sample: Sample | Unreadable) -> list[tuple[str, str]]:
    assert isinstance(sample, Sample), sample
    return [(turn.role, turn.text) for turn in sample.conversation.turns]


def test_every_builder_has_a_config_and_packaged_yaml_that_exist() -> None:
    from minigpt4.common.config.load import beside

    own = [name for name in builders.names() if builders.get(name).__module__.startswith("minigpt4.")]
    assert {"laion", "cc_sbu", "cc_sbu_align", "llava_instruct", "image_jsonl", "plain_text"} <= set(own)
    for name in own:
        builder = builders.get(name)
        assert is_dataclass(builder.Config)
        for relative in builder.default_yaml.values():
            assert f"  {name}:" in beside(builder, relative).read_text()


def test_shards_by_brace_pattern_glob_and_folder(tmp_path: Path) -> None:
    for number in range(3):
        write_tar(tmp_path / f"{number:05}.tar", pair(f"{number:05}0000", f"A Rose no {number}."))
    cleaned = TextProcessorPair(train=TextProcessorConfig(name="blip_caption"))
    for storage in (tmp_path / "{00000..00002}.tar", tmp_path / "*.tar", tmp_path):
        dataset = build_dataset("laion", config(storage, text_processor=cleaned))
        assert [turns(dataset.sample(n)) for n in range(len(dataset))] == [
            [("user", IMAGE_MARK), ("assistant", f"a rose no {number}")] for number in range(3)
        ]
    assert dataset.sample(1).id == "00001/000010000"


def test_captions_of_shards_may_answer_a_question(tmp_path: Path) -> None:
    write_tar(tmp_path / "00000.tar", pair("000000000", "a rose"))
    asked = f"{IMAGE_MARK} Give a short caption."
    for storage in (tmp_path, f"pipe:cat {tmp_path}/00000.tar"):
        source = builders.get("cc_sbu").build(config(storage, question=asked), "train", "cc_sbu")
        sample = next(source.once()) if isinstance(source, ShardStream) else source.sample(0)
        assert turns(sample) == [("user", asked), ("assistant", "a rose")]
    with pytest.raises(UserError, match="question: is 'What.*write <ImageHere> once"):
        config(tmp_path, question="What is this?")


def test_align_captions_are_not_cleaned(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image/7.jpg").write_bytes(image_bytes(kind="JPEG"))
    (tmp_path / "filter_cap.json").write_text(json.dumps({"annotations": [{"image_id": 7, "caption": "A Rose!"}]}))
    cleaned = TextProcessorPair(train=TextProcessorConfig(name="blip_caption"))
    dataset = build_dataset("cc_sbu_align", config(tmp_path, text_processor=cleaned))
    assert turns(dataset.sample(0))[1] == ("assistant", "A Rose!") and dataset.sample(0).id == "7"


def llava(folder: Path, *records: dict[str, Any]) -> Any:
    (folder / "conversations.json").write_text(json.dumps(list(records)))
    return build_dataset("llava_instruct", config(folder))


def said(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)]


def test_llava_conversations(tmp_path: Path) -> None:
    dataset = llava(
        tmp_path,
        {"id": "x1", "image": "a.jpg", "conversations": said("<image>\nWhat?", "A rose.", "Sure?", "Yes.")},
        {"image": ["a.jpg", "b.jpg"], "conversations": said("<image> or <image>?", "The first.")},
        {"image": "a.jpg", "conversations": said("No mark?", "None.")},
        {"conversations": [{"from": "system", "value": "Be brief."}, *said("Hello", "Hi.")]},
    )
    assert dataset.sample(0).id == "x1"
    assert turns(dataset.sample(0)) == [("user", f"{IMAGE_MARK}\nWhat?"), ("assistant", "A rose."), ("user", "Sure?"),
                                 ("assistant", "Yes.")]
    assert [ref.path.name for ref in dataset.sample(1).conversation.images] == ["a.jpg", "b.jpg"]
    assert turns(dataset.sample(2))[0] == ("user", f"{IMAGE_MARK}\nNo mark?")
    assert dataset.sample(3).conversation.system == "Be brief." and dataset.sample(3).conversation.images == ()


@pytest.mark.parametrize(("record", "reason"), [
    ({"conversations": said("What?")}, "has no answer at its end to learn"),
    ({"conversations": said("What?", " ")}, "has no answer at its end to learn"),
    ({"conversations": []}, "'conversations' is not a list of turns"),
    ({"conversations": said("<image>?", "x")}, "has 0 images and 1 <image> marks"),
    ({"image": ["a", "b"], "conversations": said("<image>?", "x")}, "has 2 images and 1 <image> marks"),
    ({"conversations": [{"from": "humn", "value": "x"}]}, "a turn is from 'humn'"),
    ({"conversations": [{"from": "human"}]}, "a turn says None"),
    ({"conversations": ["x"]}, "a turn is not an object but str"),
])
def test_u38_llava_records_that_teach_nothing_say_why(tmp_path: Path, record: dict[str, Any], reason: str) -> None:
    told = llava(tmp_path, record).sample(0)
    assert isinstance(told, Unreadable) and told.reason == reason
    assert told.source.endswith("conversations.json, record 0")


def test_plain_text_from_lines_and_jsonl(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    for name in ("a.txt", "a.jsonl"):
        dataset = build_dataset("plain_text", config(tmp_path / name))
        said = [turns(dataset.sample(number)) for number in range(2)]
        assert said == [[("assistant", "one")], [("assistant", "two")]]


def test_splits_limits_and_several_sections_of_one_builder(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a\nb\nc\n")
    (tmp_path / "val.txt").write_text("d\n")
    own = config(tmp_path / "train.txt", builder="plain_text", max_samples=2,
                 splits={"val": SplitInfo(storage=str(tmp_path / "val.txt"))})
    assert len(build_indexed("mine", own, TRAIN_SPLIT)) == 2
    assert turns(build_indexed("mine", own, "val").sample(0)) == [("assistant", "d")]
    mixture = build_source({"mine": own, "plain_text": config(tmp_path / "val.txt")}, seed=0)
    assert isinstance(mixture, Mixture) and [dataset.name for dataset in mixture.datasets] == ["mine", "plain_text"]


def test_image_processors_per_data_set_and_split() -> None:
    pair_of = ImageProcessorPair(train=ImageProcessorConfig(name="augmented_image_train", image_size=8))
    configs = {"a": config("x", vis_processor=pair_of), "b": config("x")}
    train = build_image_processors(configs, TRAIN_SPLIT, ImageSpec(size=8, opening="original"))
    assert train["a"].config.flip and not train["b"].config.flip
    assert train["a"].spec == train["b"].spec and train["a"].spec.opening == "original"
    assert not build_image_processors(configs, "val", ImageSpec(size=8))["a"].config.flip
    with pytest.raises(UserError, match=r"datasets\.a\.vis_processor\.train\.image_size: is 8, the model sees 16"):
        build_image_processors(configs, TRAIN_SPLIT, ImageSpec(size=16))


# --- streams ---


@pytest.fixture
def piped(tmp_path: Path) -> str:
    for number in range(4):
        pairs = [pair(f"{number}{key}", f"rose {number}{key}") for key in range(5)]
        write_tar(tmp_path / f"{number}.tar", {name: value for each in pairs for name, value in each.items()})
    return f"pipe:cat {tmp_path}/{{0..3}}.tar"


def stream(storage: str, **changed: Any) -> ShardStream:
    source = build_source({"laion": config(storage, **changed)}, seed=0)
    assert isinstance(source, ShardStream)
    return source


def ids(samples: Any, count: int) -> list[str]:
    return [sample.id for sample in itertools.islice(samples, count)]


def test_piped_shards_once_and_endless(piped: str) -> None:
    everything = [f"{number}{key}" for number in range(4) for key in range(5)]
    assert [sample.id for sample in stream(piped).once()] == everything
    endless = ids(stream(piped).endless(seed=1), 40)
    assert sorted(endless[:20]) == sorted(endless[20:]) == everything and endless[:20] != endless[20:]
    assert ids(stream(piped).endless(seed=1, skip=25), 5) == endless[25:30]


def test_ranks_take_different_shards(piped: str) -> None:
    halves = [set(ids(stream(piped).endless(seed=1, rank=rank, world_size=2), 10)) for rank in range(2)]
    assert not halves[0] & halves[1] and len(halves[0] | halves[1]) == 20
    with pytest.raises(UserError, match="laion: has 4 shards for 5 ranks"):
        ids(stream(piped).endless(seed=1, world_size=5), 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_stream_behind_the_same_loader(piped: str, workers: int) -> None:
    def loader(position: int = 0) -> TrainingLoader:
        return TrainingLoader(stream(piped), FakeRenderer(), {"laion": FakeProcessor()}, batch_size=3,
                              position=position, num_workers=workers)

    straight = list(itertools.islice(loader(), 6))
    resumed = list(itertools.islice(loader(4), 2))
    assert [batch.sample_ids for batch in straight[4:]] == [batch.sample_ids for batch in resumed]
    assert straight[4].input_ids.equal(resumed[0].input_ids)


def test_a_stream_keeps_its_ranks(piped: str) -> None:
    with pytest.raises(UserError, match="laion: is a stream and was begun on 2 ranks; on 1 its order would be another"):
        TrainingLoader(stream(piped), FakeRenderer(), {}, batch_size=3, begun_on=2)


def test_cut_streams_are_told(tmp_path: Path, piped: str) -> None:
    shard = tmp_path / "0.tar"
    shard.write_bytes(shard.read_bytes()[:3200])  # in the middle of the second image
    told = [each for each in stream(piped).once() if isinstance(each, Unreadable)]
    assert len(told) == 1 and "archive ends after" in told[0].reason and "0.tar" in told[0].source
    counted = [each for each in stream(piped, samples_per_shard=6).once() if isinstance(each, Unreadable)]
    assert len(counted) == 4 and counted[-1].reason == "archive ends after 5 of 6 samples"


def test_streams_that_bring_nothing_end(tmp_path: Path) -> None:
    nothing = stream(f"pipe:cat {tmp_path}/gone{{0..1}}.tar 2>/dev/null")
    ledger = Ledger(limits=UnreadableLimits(at_least=3))
    loader = TrainingLoader(nothing, FakeRenderer(), {}, batch_size=2, ledger=ledger)
    with pytest.raises(UserError, match="the run ends"):
        list(itertools.islice(loader, 10))


def test_streams_are_not_mixed_nor_cut_nor_evaluated(tmp_path: Path, piped: str) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    with pytest.raises(UserError, match=r"mixes a stream with other data sets \(laion, plain_text\)"):
        build_source({"laion": config(piped), "plain_text": config(tmp_path / "a.txt")}, seed=0)
    with pytest.raises(UserError, match="max_samples: is given for a stream"):
        build_dataset("laion", config(piped, max_samples=3))
    with pytest.raises(UserError, match="evaluation reads local shards only"):
        build_indexed("laion", config(piped), TRAIN_SPLIT)
