"""The fast way from images to pixels: near Pillow's, the same with and without simplejpeg, the same sentences."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minigpt4.common.errors import UserError
from minigpt4.models.vision.eva_vit import EvaVitConfig
from minigpt4.processors import fast_images
from minigpt4.processors.decoding import ImageError, open_image
from minigpt4.processors.fast_images import fast_fitted, fast_resized, fast_rgb
from minigpt4.processors.images import FittedImages, ImageProcessorConfig
from minigpt4.processors.resizing import fitted, to_levels
from minigpt4.records.images import ImageRef, ImageSpec
from minigpt4.systems.minigpt4.config import MiniGPT4Config
from minigpt4.systems.minigpt4.system import MiniGPT4

LEVELS, SHARE = 2, 0.01
"""how far pixels may be from Pillow's, of 255, and how many of them may differ"""
FAST = ImageSpec(size=24, method="fast")


@pytest.fixture(scope="session")
def photographs(data: Path) -> list[bytes]:
    """Photographs of the web, about 640 pixels wide, with their noise."""
    return [path.read_bytes() for path in sorted((data / "photos" / "web").glob("*.jpg"))]


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noisy(width: int, height: int, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def pillow(content: bytes, spec: ImageSpec) -> torch.Tensor:
    return FittedImages(replace(spec, method="pillow")).levels(ImageRef(data=content))


def fast(content: bytes, spec: ImageSpec) -> torch.Tensor:
    return FittedImages(spec).levels(ImageRef(data=content))


@pytest.mark.parametrize("size", [224, 336, 448])
def test_photographs_are_within_two_levels_of_pillow(photographs: list[bytes], size: int) -> None:
    """uint8, at most 2 of 255 and at most 1 % of the values of an image."""
    assert photographs
    spec = replace(FAST, size=size)
    for content in photographs:
        difference = (fast(content, spec).int() - pillow(content, spec).int()).abs()
        assert difference.max() <= LEVELS and (difference > 0).float().mean() <= SHARE


@pytest.mark.parametrize("method", ["fast", "fast_drafts"])
def test_pillow_decodes_to_the_same_bytes_as_simplejpeg(photographs: list[bytes], method: str,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ImageSpec(size=64, method=method)  # type: ignore[arg-type]
    by_simplejpeg = [fast(content, spec) for content in photographs]
    monkeypatch.setattr(fast_images, "_decoder", lambda: None)
    assert all(torch.equal(each, fast(content, spec)) for each, content in zip(by_simplejpeg, photographs, strict=True))


def test_simplejpeg_is_used_where_it_is_installed(photographs: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    import simplejpeg

    calls: list[int] = []
    decode = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *args, **more: calls.append(1) or decode(*args, **more))
    fast(photographs[0], FAST)
    assert calls == [1]


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
@pytest.mark.parametrize("sides", [(90, 61), (61, 90), (40, 40), (10, 16)])
def test_every_fit_and_filter_is_near_pillow(fit: str, resample: str, sides: tuple[int, int]) -> None:
    spec = ImageSpec(size=24, fit=fit, resample=resample, method="fast")  # type: ignore[arg-type]
    image = noisy(*sides)
    ours = fast_fitted(np.array(image), spec)
    difference = (ours.int() - to_levels(fitted(image, spec)).int()).abs()
    assert ours.shape == (3, 24, 24) and ours.is_contiguous() and difference.max() <= LEVELS


def test_torch_does_columns_first_and_then_rows() -> None:
    image = torch.from_numpy(np.array(noisy(97, 301))).permute(2, 0, 1).unsqueeze(0)
    in_two = fast_resized(fast_resized(image, 31, 301, "bicubic"), 31, 40, "bicubic")
    other_way = fast_resized(fast_resized(image, 97, 40, "bicubic"), 31, 40, "bicubic")
    assert torch.equal(fast_resized(image, 31, 40, "bicubic"), in_two) and not torch.equal(other_way, in_two)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("opening", ["standard", "original"])
def test_exif_turns_images_as_pillow_does(orientation: int, opening: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = ImageRef(data=encoded(noisy(40, 24), exif=exif))
    spec = replace(FAST, opening=opening)
    assert np.array_equal(fast_rgb(content, spec, 10**6), np.array(open_image(content, opening)))


def test_only_jpegs_with_exif_or_xmp_are_asked_how_they_are_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = encoded(noisy(40, 24), icc_profile=b"x" * 70_000)
    asked: list[ImageRef] = []
    monkeypatch.setattr(fast_images, "orientation_of", lambda ref: asked.append(ref) or 1)
    fast_rgb(ImageRef(data=plain), FAST, 10**6)
    assert asked == []
    exif = Image.Exif()
    exif[0x0112] = 6
    for content in (encoded(noisy(40, 24), exif=exif, icc_profile=b"x" * 70_000), plain[:2] + b"\xff\xff" + plain[2:]):
        fast_rgb(ImageRef(data=content), FAST, 10**6)
    assert len(asked) == 2


@pytest.mark.parametrize("kind", ["grey", "cmyk", "progressive", "png with alpha", "palette", "16 bit"])
def test_other_images_are_opened_by_pillow_or_alike(kind: str) -> None:
    image = noisy(40, 24)
    content = {
        "grey": lambda: encoded(image.convert("L")), "cmyk": lambda: encoded(image.convert("CMYK")),
        "progressive": lambda: encoded(image, progressive=True, subsampling=2),
        "png with alpha": lambda: encoded(image.convert("RGBA"), "PNG"),
        "palette": lambda: encoded(image.convert("P"), "PNG"),
        "16 bit": lambda: encoded(Image.fromarray(np.arange(960, dtype=np.uint16).reshape(24, 40) * 60), "PNG"),
    }[kind]()
    assert np.array_equal(fast_rgb(ImageRef(data=content), FAST, 10**6), np.array(open_image(ImageRef(data=content))))


@pytest.mark.parametrize("content", [
    b"", b"<html>", encoded(noisy(40, 24))[:-40], encoded(noisy(40, 24))[:30], encoded(noisy(1, 1)),
    encoded(noisy(2000, 20)),
], ids=["empty", "text", "cut", "header only", "1x1", "too large"])
def test_what_pillow_refuses_is_refused_with_the_same_sentence(content: bytes) -> None:
    sentences = []
    for method in ("pillow", "fast", "fast_drafts"):
        process = FittedImages(replace(FAST, method=method), ImageProcessorConfig(image_size=24, max_pixels=30_000))
        with pytest.raises(ImageError) as error:
            process(ImageRef(data=content, name="the image"))
        sentences.append(str(error.value))
    assert len(set(sentences)) == 1 and sentences[0].startswith("the image: ")


def test_drafts_are_of_large_jpegs_only() -> None:
    large, small = noisy(800, 640), noisy(90, 60)
    drafts = replace(FAST, method="fast_drafts")
    assert fast_rgb(ImageRef(data=encoded(large)), drafts, 10**6).shape == (80, 100, 3)
    assert fast_rgb(ImageRef(data=encoded(small)), drafts, 10**6).shape == (60, 90, 3)
    assert fast_rgb(ImageRef(data=encoded(large, "PNG")), drafts, 10**6).shape == (640, 800, 3)
    assert fast_rgb(ImageRef(data=encoded(large)), FAST, 10**6).shape == (640, 800, 3)
    difference = (fast(encoded(large), drafts).int() - pillow(encoded(large), FAST).int()).abs().float()
    assert difference.max() <= 8 and difference.mean() < 1


def test_random_changes_are_the_same_ones() -> None:
    config = ImageProcessorConfig(image_size=24, crop="random_resized", flip=0.5, brightness=0.2)
    content = ImageRef(data=encoded(noisy(90, 60)))
    for seed in range(4):
        made = [FittedImages(spec, config).levels(content, torch.Generator().manual_seed(seed)).int()
                for spec in (FAST, replace(FAST, method="pillow"))]
        assert (made[0] - made[1]).abs().max() <= LEVELS


def test_pixels_are_the_normalised_levels() -> None:
    content = ImageRef(data=encoded(noisy(90, 60)))
    process = FittedImages(FAST)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (FAST.mean, FAST.std))
    assert torch.equal(process(content), (process.levels(content).float() / 255 - mean) / std)


def test_models_of_originals_open_images_by_pillow() -> None:
    config = MiniGPT4Config(vision=EvaVitConfig(image_size=28), behaviour="standard", image_method="fast")
    spec = MiniGPT4.pixels(config)
    assert spec is not None and spec.method == "fast"
    assert MiniGPT4.pixels(replace(config, image_method="pillow", behaviour="original_newest")).method == "pillow"
    with pytest.raises(UserError, match="image_method: is fast, and original_newest opens images by Pillow"):
        MiniGPT4.pixels(replace(config, behaviour="original_newest"))
