"""Image processors: sizes, randomness from a generator only, configs that cannot be wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from minigpt4.common.errors import UserError
from minigpt4.common.registry import image_processors
from minigpt4.processors.images import ImageProcessorConfig, build_image_processor
from minigpt4.processors.resizing import CROP_RATIO, random_box, resized
from minigpt4.records.images import ImageRef, ImageSpec

SPEC = ImageSpec(size=12)


@pytest.fixture
def photo(tmp_path) -> ImageRef:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (30, 50, 3), dtype=np.uint8)).save(path)
    return ImageRef(path=path)


def test_registered_names() -> None:
    assert {"blip2_image_eval", "blip2_image_train", "augmented_image_train"} <= set(image_processors.names())


def test_spec_says_what_the_processor_does(photo: ImageRef) -> None:
    config = ImageProcessorConfig(image_size=12, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    process = build_image_processor(config, ImageSpec(size=12, opening="original"))
    assert (process.spec.size, process.spec.opening, process.spec.mean) == (12, "original", (0.0, 0.0, 0.0))
    pixels = process(photo)
    assert pixels.shape == (3, 12, 12) and pixels.dtype == torch.float32
    assert 0 <= pixels.min() and pixels.max() <= 1


def test_train_crop_follows_the_behaviour_unless_the_config_says(photo: ImageRef) -> None:
    config = ImageProcessorConfig(name="blip2_image_train", image_size=12)
    squashed = build_image_processor(ImageProcessorConfig(image_size=12), SPEC)(photo)
    seed = torch.Generator().manual_seed
    assert torch.equal(build_image_processor(config, SPEC)(photo, seed(0)), squashed)
    assert not torch.equal(build_image_processor(config, SPEC, train_crop="random_resized")(photo, seed(0)), squashed)
    fixed = ImageProcessorConfig(name="blip2_image_train", image_size=12, crop="none")
    assert torch.equal(build_image_processor(fixed, SPEC, train_crop="random_resized")(photo, seed(0)), squashed)


def test_augmentation_is_a_function_of_the_generator(photo: ImageRef) -> None:
    process = build_image_processor(ImageProcessorConfig(name="augmented_image_train", image_size=10), SPEC)
    one, same, other = (process(photo, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_augmentation_leaves_torchs_own_numbers_alone(photo: ImageRef) -> None:
    process = build_image_processor(ImageProcessorConfig(name="augmented_image_train", image_size=10), SPEC)
    before = torch.get_rng_state()
    process(photo, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("width", "height"), [(97, 61), (300, 20), (20, 300), (2, 2), (64, 64)])
def test_random_boxes_lie_inside_the_image(width: int, height: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        box = random_box(width, height, (0.3, 1.0), generator)
        assert 0 <= box.top and box.top + box.height <= height and box.height > 0
        assert 0 <= box.left and box.left + box.width <= width and box.width > 0


def test_very_wide_images_get_the_central_box() -> None:
    box = random_box(300, 20, (0.9, 1.0), torch.Generator().manual_seed(0))
    assert (box.height, box.width, box.left) == (20, round(20 * CROP_RATIO[1]), (300 - 27) // 2)


def test_horizontal_pass_comes_first() -> None:
    """A tall image, where Pillow 13 would take the rows first in one call."""
    image = Image.fromarray(np.random.default_rng(2).integers(0, 255, (200, 20, 3), dtype=np.uint8))
    columns_first = image.resize((16, 200), Image.Resampling.BICUBIC).resize((16, 16), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(resized(image, 16, 16)), np.asarray(columns_first))


@pytest.mark.parametrize("wrong", [{"image_size": 0}, {"min_scale": 0.0}, {"min_scale": 0.9, "max_scale": 0.5}])
def test_wrong_numbers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="is "):
        ImageProcessorConfig(**wrong)


def test_unknown_processor_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'blip2_image_train'"):
        build_image_processor(ImageProcessorConfig(name="blip2_image_trian"), SPEC)
