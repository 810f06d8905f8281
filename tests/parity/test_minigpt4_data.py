"""Pixels, captions and data sets equal to those recorded from the original."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from minigpt4.datasets.assembly import build_dataset
from minigpt4.datasets.config import BuildInfo, DatasetConfig, TextProcessorPair
from minigpt4.processors.captions import BlipCaption, TextProcessorConfig
from minigpt4.processors.decoding import ImageError
from minigpt4.processors.images import ImageProcessorConfig, build_image_processor
from minigpt4.processors.resizing import random_box
from minigpt4.records.conversations import Sample
from minigpt4.records.images import ImageRef, ImageSpec
from tests.parity import minigpt4_folder as oracle

JPEG_TOLERANCE = 2e-2
"""the recording's own allowance for another JPEG decoder; everything else is exact"""

ORIGINAL = ImageSpec(size=224, opening="original")
"""the size is that of the processor's config"""


@pytest.fixture(scope="module")
def folder(oracles: Path) -> Path:
    return oracles / "minigpt4"


def recorded(case: str) -> tuple[Any, dict[str, Tensor]]:
    found = oracle.read_case(case)
    return found.values, found.tensors


def assert_pixels(name: str, ours: Tensor, theirs: Tensor) -> None:
    tolerance = JPEG_TOLERANCE if name.endswith((".jpg", ".jpeg")) else 0.0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance, msg=lambda text: f"{name}: {text}")


@pytest.mark.cases("minigpt4", "pixels_eval*")
def test_eval_pixels(folder: Path, case: str) -> None:
    facts, tensors = recorded(case)
    process = build_image_processor(ImageProcessorConfig(image_size=facts["size"]), ORIGINAL)
    assert facts["images"]
    for name in facts["images"]:
        assert_pixels(name, process(ImageRef(path=folder / "images" / name)), tensors[name])


@pytest.mark.cases("minigpt4", "pixels_train_april*")
def test_random_crop_of_april(folder: Path, case: str) -> None:
    facts, tensors = recorded(case)
    config = ImageProcessorConfig(name="blip2_image_train", image_size=facts["size"])
    process = build_image_processor(config, ORIGINAL, "random_resized")
    assert facts["rows"]
    for row in facts["rows"]:
        seeded = torch.Generator().manual_seed(row["torch_seed"])
        box = random_box(*row["size_wh"], (config.min_scale, config.max_scale), seeded)
        assert list(box) == row["box_top_left_h_w"], row["image"]
        seeded = torch.Generator().manual_seed(row["torch_seed"])
        assert_pixels(row["image"], process(ImageRef(path=folder / "images" / row["image"]), seeded),
                      tensors[row["image"]])


def test_newest_training_pixels_are_the_eval_pixels(folder: Path) -> None:
    facts, tensors = recorded("pixels_eval")
    config = ImageProcessorConfig(name="blip2_image_train", image_size=facts["size"])
    process = build_image_processor(config, ORIGINAL, "none")
    for name in facts["images"]:
        assert_pixels(name, process(ImageRef(path=folder / "images" / name)), tensors[name])


def test_caption_processor() -> None:
    facts, _ = recorded("caption_processor")
    clean = BlipCaption(facts["prompt"], facts["max_words"])
    assert facts["rows"]
    for raw, processed in facts["rows"]:
        assert clean(raw) == processed
    prompts = {key: rows for key, rows in facts.items() if key.startswith("prompt_")}
    for key, rows in prompts.items():
        prompt = key.removeprefix("prompt_").replace("_", " ") + " "
        longest = max(len(processed.removeprefix(prompt).split(" ")) for _, processed in rows)
        for raw, processed in rows:
            assert BlipCaption(prompt, longest)(raw) == processed


def dataset_config(storage: Path, max_words: int) -> DatasetConfig:
    cleaning = TextProcessorConfig(name="blip_caption", max_words=max_words)
    return DatasetConfig(build_info=BuildInfo(storage=str(storage)), text_processor=TextProcessorPair(train=cleaning))


def readable(dataset: Any, process: Any) -> list[tuple[str, Tensor]]:
    """Caption and pixels of each sample that can be read, in order."""
    found = []
    for number in range(len(dataset)):
        sample = dataset.sample(number)
        assert isinstance(sample, Sample), sample
        try:
            pixels = process(sample.conversation.images[0])
        except ImageError:
            continue
        found.append((sample.conversation.turns[-1].text, pixels))
    return found


def test_align_fixture_in_order(folder: Path) -> None:
    facts, tensors = recorded("data_fixture")
    process = build_image_processor(ImageProcessorConfig(image_size=facts["image_size"]), ORIGINAL)
    dataset = build_dataset("cc_sbu_align", dataset_config(folder / "data/cc_sbu_align", 50))
    assert len(dataset) == facts["align"]["len"]
    assert dataset.sample(0).id == facts["align"]["annotation0"]["image_id"]
    for number, (text, pixels) in enumerate(readable(dataset, process)):
        assert text == facts["align"]["rows"][number]["answer"]
        torch.testing.assert_close(pixels, tensors[f"align.{number}"], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["laion", "cc_sbu"])
def test_shard_fixture_holds_the_same_samples(folder: Path, name: str) -> None:
    """The original draws shards at random; its distinct samples are recorded by text and pixel sum."""
    facts, tensors = recorded("data_fixture")
    process = build_image_processor(ImageProcessorConfig(image_size=facts["image_size"]), ORIGINAL)
    longest = max(len(row["answer"].split(" ")) for row in facts[name]["rows"])
    dataset = build_dataset(name, dataset_config(folder / "data" / name, longest))
    ours = sorted(readable(dataset, process), key=lambda pair: (pair[0], pair[1].sum().item()))
    assert len(ours) == facts[name]["distinct"]
    for number, (text, pixels) in enumerate(ours):
        assert text == facts[name]["rows"][number]["answer"]
        torch.testing.assert_close(pixels, tensors[f"{name}.{number}"], rtol=0, atol=0)
    assert Counter(text for text, _ in ours) == Counter(row["answer"] for row in facts[name]["rows"])
