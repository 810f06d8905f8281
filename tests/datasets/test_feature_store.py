"""Stored features: found by what an image is, whole or absent, and never another encoder's."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from minigpt4.common.errors import UserError
from minigpt4.datasets.feature_store.identity import FeatureIdentity, stage_digest
from minigpt4.datasets.feature_store.shards import KEYS, ROWS, FeatureShards, FeatureWriter
from minigpt4.records.images import ImageSpec

IDENTITY = FeatureIdentity(("resampler",), {"vision": "a" * 64, "resampler": "b" * 64}, ImageSpec(size=224), "fp32")


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def features(number: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    return {"resampler": torch.randn(4, 6, generator=generator).to(dtype),
            "mask": torch.tensor([number, 7], dtype=torch.int64)}


def written(folder: Path, numbers: range, shard_bytes: int = 1 << 20, dtype: torch.dtype = torch.float32) -> None:
    writer = FeatureWriter(folder, IDENTITY, shard_bytes)
    for number in numbers:
        writer.add(digest(number), features(number, dtype))
    writer.flush()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_value_comes_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    written(tmp_path, range(10), shard_bytes=3 * 112, dtype=dtype)
    shards = FeatureShards(tmp_path)
    assert len(shards) == 10
    assert len(list(tmp_path.glob("*" + KEYS))) > 1
    for number in range(10):
        found = shards.get(digest(number))
        assert found is not None
        for name, value in features(number, dtype).items():
            assert found[name].dtype == value.dtype
            assert torch.equal(found[name], value)
    assert shards.get(digest(11)) is None
    assert digest(3) in shards


def test_an_image_is_written_once(tmp_path: Path) -> None:
    writer = FeatureWriter(tmp_path, IDENTITY)
    writer.add(digest(1), features(1))
    writer.add(digest(1), features(1))
    assert digest(1) in writer
    writer.flush()
    writer.add(digest(1), features(1))
    writer.flush()
    assert writer.num_written == len(FeatureShards(tmp_path)) == 1


def test_writers_beside_each_other_make_one_store(tmp_path: Path) -> None:
    written(tmp_path, range(5))
    written(tmp_path, range(3, 9))
    shards = FeatureShards(tmp_path)
    assert all(digest(number) in shards for number in range(9))


def test_rows_without_keys_do_not_count(tmp_path: Path) -> None:
    written(tmp_path, range(2))
    next(tmp_path.glob("*" + KEYS)).unlink()
    assert len(FeatureShards(tmp_path)) == 0


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    shards = FeatureShards(tmp_path / "none")
    assert len(shards) == 0
    assert shards.get(digest(1)) is None


def test_a_row_that_changed_on_disk_is_refused(tmp_path: Path) -> None:
    written(tmp_path, range(2))
    rows = next(tmp_path.glob("*" + ROWS))
    before = rows.read_bytes()
    rows.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    with pytest.raises(UserError, match="checksum") as caught:
        for number in range(2):
            FeatureShards(tmp_path).get(digest(number))
    assert "minigpt4 cache makes them again" in str(caught.value)


def test_a_shard_that_was_cut_is_refused(tmp_path: Path) -> None:
    written(tmp_path, range(2))
    rows = next(tmp_path.glob("*" + ROWS))
    rows.write_bytes(rows.read_bytes()[:-1])
    with pytest.raises(UserError, match="is not as long as its keys say"):
        FeatureShards(tmp_path)


def test_a_description_that_is_none_is_refused(tmp_path: Path) -> None:
    written(tmp_path, range(2))
    (tmp_path / "identity.json").write_text('{"row": [["a", [1], "os"]]}')
    with pytest.raises(UserError, match="does not describe stored features"):
        FeatureShards(tmp_path)


def test_workers_open_the_files_themselves(tmp_path: Path) -> None:
    written(tmp_path, range(200))
    encoded = pickle.dumps(FeatureShards(tmp_path))
    assert len(encoded) < 1000
    assert digest(199) in pickle.loads(encoded)


def test_whatever_features_follow_from_changes_their_folder() -> None:
    others = [
        replace(IDENTITY, values=("vision",)), replace(IDENTITY, stages={"vision": "a" * 64, "resampler": "c" * 64}),
        replace(IDENTITY, image_spec=ImageSpec(size=448)), replace(IDENTITY, precision="bf16"),
        replace(IDENTITY, image_spec=ImageSpec(size=224, resample="bilinear")), replace(IDENTITY, dtype="bfloat16"),
    ]
    folders = {each.folder_in(Path()) for each in [IDENTITY, *others]}
    assert len(folders) == len(others) + 1


def test_one_changed_bit_of_a_stage_changes_its_digest() -> None:
    torch.manual_seed(0)
    module = nn.Linear(300, 300)
    before = stage_digest(module)
    assert stage_digest(module) == before
    with torch.no_grad():
        module.weight.view(torch.int32)[77, 131] ^= 1
    assert stage_digest(module) != before
    with torch.no_grad():
        module.weight.view(torch.int32)[77, 131] ^= 1
    assert stage_digest(module) == before
    assert stage_digest(module.to(torch.bfloat16)) != before
