"""A feature store through the real commands: filled before or while training, read without decoding, never stale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minigpt4.cli.main import main
from minigpt4.common.config import load_config
from minigpt4.datasets.assembly import build_indexed
from minigpt4.datasets.feature_store.images import digest_of
from minigpt4.datasets.feature_store.shards import KEYS, FeatureShards
from minigpt4.processors.images import FittedImages
from minigpt4.records.conversations import Sample
from minigpt4.records.images import ImageRef
from minigpt4.runners.run_folder import RunFolder
from tests.parity import minigpt4_folder
from tests.tasks.tiny_runs import write_tiny_run

Train = Callable[..., dict[str, torch.Tensor]]
FP32 = 1e-6
"""relative, float32: an image's features come from a batch of another size"""


@pytest.fixture
def trained(tmp_path: Path) -> Train:
    """Train the recorded tiny model with these options and return what its last checkpoint holds."""

    def run(name: str, *options: str) -> dict[str, torch.Tensor]:
        folder = tmp_path / name
        folder.mkdir()
        path = write_tiny_run(folder, run={"valid_captions": 0})
        assert main(["train", "--cfg-path", str(path), "--options", "run.clip_grad_norm=1.0", *options]) == 0
        newest = RunFolder(folder / "out").newest()
        assert newest is not None
        return load_file(newest / "model.safetensors")

    return run


def _close(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(left[name], value, rtol=1e-5, atol=FP32) for name, value in right.items())


def _decodes_nothing(*_: object) -> None:
    pytest.fail("an image was decoded")


def test_a_filled_store_trains_as_without_and_decodes_nothing(
    tmp_path: Path, trained: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    live = trained("live")
    store = f"run.feature_store={tmp_path / 'store'}"
    path = write_tiny_run(tmp_path)
    assert main(["cache", "--cfg-path", str(path), "--part", "1/2", "--options", store]) == 0
    assert main(["cache", "--cfg-path", str(path), "--part", "2/2", "--options", store]) == 0
    capsys.readouterr()
    assert main(["cache", "--cfg-path", str(path), "--options", store]) == 0
    assert capsys.readouterr().out.startswith("0 images computed and stored")
    monkeypatch.setattr(FittedImages, "__call__", _decodes_nothing)
    assert _close(trained("stored", store, "run.valid_splits=[]"), live)


def test_a_store_is_filled_while_training(tmp_path: Path, trained: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    store = f"run.feature_store={tmp_path / 'store'}"
    first = trained("first", store, "run.valid_splits=[]")
    assert len(list((tmp_path / "store").rglob("*" + KEYS))) == 1
    monkeypatch.setattr(FittedImages, "__call__", _decodes_nothing)
    assert _close(trained("again", store, "run.valid_splits=[]"), first)


def test_an_image_is_stored_once_whatever_stands_beside_it(tmp_path: Path, trained: Train) -> None:
    """A store that holds half of the images: batches of both kinds are computed whole, and only the new is written."""
    store = f"run.feature_store={tmp_path / 'store'}"
    path = write_tiny_run(tmp_path)
    assert main(["cache", "--cfg-path", str(path), "--part", "1/2", "--options", store]) == 0
    trained("mixed", store, "run.valid_splits=[]", "run.max_epoch=4")
    folder = next((tmp_path / "store").iterdir())
    assert len(FeatureShards(folder)) == len({digest_of(ref) for ref in _images_of(path)})


def _images_of(path: Path) -> list[ImageRef]:
    config = load_config(path)
    dataset = build_indexed("cc_sbu_align", config.datasets["cc_sbu_align"], "train")
    samples = [dataset.sample(number) for number in range(len(dataset))]
    return [ref for sample in samples if isinstance(sample, Sample) for ref in sample.conversation.images]


def test_features_in_half_precision_train_nearly_alike(tmp_path: Path, trained: Train) -> None:
    """bfloat16 features, everything else float32."""
    store = f"run.feature_store={tmp_path / 'store'}"
    half, whole = trained("half", store, "run.feature_dtype=bf16"), trained("whole")
    change = [float((half[name] - value).norm() / value.norm()) for name, value in whole.items()]
    assert 0 < max(change) < 0.02


def test_another_encoder_or_another_size_never_finds_the_old_features(tmp_path: Path, trained: Train) -> None:
    store = f"run.feature_store={tmp_path / 'store'}"
    trained("one", store, "run.valid_splits=[]", "run.max_epoch=1")
    trained("other", store, "run.valid_splits=[]", "run.max_epoch=1", "run.feature_dtype=bf16")
    assert len(list((tmp_path / "store").iterdir())) == 2


@pytest.mark.parametrize(("options", "said"), [
    (["model.vision.freeze=False"], "model.vision: trains and reads pixels"),
    (["datasets.cc_sbu_align.vis_processor.train.name=augmented_image_train",
      f"datasets.cc_sbu_align.vis_processor.train.image_size={minigpt4_folder.config().vision.image_size}"],
     "makes other pixels of an image each time (crop, flip, brightness)"),
    (["run.feature_store=null"], "run.feature_store: is not set"),
])
def test_what_cannot_be_stored_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str,
) -> None:
    path = write_tiny_run(tmp_path)
    store = f"run.feature_store={tmp_path / 'store'}"
    assert main(["cache", "--cfg-path", str(path), "--options", store, *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_a_part_is_written_as_one_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("0/2", "3/2", "2", "a/b"):
        assert main(["cache", "--cfg-path", str(write_tiny_run(tmp_path)), "--part", part]) == 2
        assert f"--part: is '{part}'; write I/N" in capsys.readouterr().err
