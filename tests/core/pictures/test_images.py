"""Pictures in and out: every kind of file people have, and every way a file can be wrong."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from magicface_core.errors import ImageError, OutputError
from magicface_core.pictures.images import (
    MAX_PIXELS,
    channels_last,
    check_image_path,
    load_image,
    save_image,
    to_tensor,
    to_uint8,
)


def picture(height: int = 24, width: int = 32) -> np.ndarray:
    """A smooth colour picture with distinct corners, uint8 [H, W, 3]."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = (
        rows * 255 // (height - 1),
        columns * 255 // (width - 1),
        (rows + columns) * 3 % 256,
    )
    return np.stack(channels, axis=-1).astype(np.uint8)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_header(width: int, height: int) -> bytes:
    """A PNG that only claims a size: 8-bit RGB, no pixel data to speak of."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b""))
        + png_chunk(b"IEND", b"")
    )


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def loaded(folder: Path, data: bytes) -> np.ndarray:
    path = folder / "input"
    path.write_bytes(data)
    image = load_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


# --- files that are pictures ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_lossless_formats_are_exact(tmp_path: Path, kind: str) -> None:
    assert np.array_equal(loaded(tmp_path, encoded(Image.fromarray(picture()), kind)), picture())


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_are_close(tmp_path: Path, kind: str) -> None:
    result = loaded(tmp_path, encoded(Image.fromarray(picture(64, 64)), kind, quality=95))
    assert np.abs(result.astype(int) - picture(64, 64)).mean() < 4


def test_cmyk_jpeg(tmp_path: Path) -> None:
    source = Image.new("RGB", (16, 16), (200, 40, 90))
    result = loaded(tmp_path, encoded(source.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(result.astype(int) - np.asarray(source)).max() <= 6


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = (255, 0, 51)  # black: opaque, invisible, one fifth
    assert loaded(tmp_path, encoded(Image.fromarray(pixels), "PNG"))[0, :, 0].tolist() == [
        0,
        255,
        204,
    ]


def test_grey_with_transparency(tmp_path: Path) -> None:
    pixels = np.array([[[100, 255], [100, 0]]], np.uint8)
    result = loaded(tmp_path, encoded(Image.fromarray(pixels, "LA"), "PNG"))
    assert result.tolist() == [[[100] * 3, [255] * 3]]


def test_palette_with_and_without_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert loaded(tmp_path, encoded(image, "PNG")).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    clear = encoded(image, "PNG", transparency=0)
    assert loaded(tmp_path, clear).tolist() == [[[255, 255, 255], [200, 100, 50]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, kind: str) -> None:
    values = np.array([[0, 256, 257, 32896, 65535]], np.uint16)
    result = loaded(tmp_path, encoded(Image.fromarray(values), kind))
    assert result[0, :, 1].tolist() == [0, 1, 1, 128, 255]


def test_dark_16_bit_grey_stays_dark(tmp_path: Path) -> None:
    values = np.full((4, 4), 200, np.uint16)
    assert loaded(tmp_path, encoded(Image.fromarray(values), "PNG")).max() == 1


@pytest.mark.parametrize("full", [1.0, 255.0])
def test_floating_point_tiff(tmp_path: Path, full: float) -> None:
    values = np.array([[0, 0.2, 1]], np.float32) * full
    assert loaded(tmp_path, encoded(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [
        0,
        51,
        255,
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 300.0])
def test_floating_point_tiff_of_no_known_range(tmp_path: Path, value: float) -> None:
    values = np.full((2, 2), value, np.float32)
    with pytest.raises(ImageError, match="colour mode F"):
        loaded(tmp_path, encoded(Image.fromarray(values), "TIFF"))


def test_1_bit(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert loaded(tmp_path, encoded(image, "PNG"))[0, :, 0].tolist() == [0, 255]


# For each EXIF orientation: where the stored top-left pixel belongs in the upright picture.
ORIENTATIONS = {
    1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0),
}  # fmt: skip


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int) -> None:
    stored = np.zeros((4, 6, 3), np.uint8)
    stored[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = loaded(tmp_path, encoded(Image.fromarray(stored), "PNG", exif=exif))
    assert result.shape == ((6, 4, 3) if orientation > 4 else (4, 6, 3))
    assert result[ORIENTATIONS[orientation]].tolist() == [255] * 3
    assert result.sum() == 3 * 255


def test_broken_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(picture()), "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert np.array_equal(loaded(tmp_path, data), picture())


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_first_frame_of_an_animation(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "green")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert loaded(tmp_path, data).reshape(-1, 3).tolist() == [[255, 0, 0]] * 64


def test_colour_profile_survives_load_and_save(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(picture()), "PNG", icc_profile=b"profile of some camera")
    (tmp_path / "input.png").write_bytes(data)
    image = load_image(tmp_path / "input.png")
    save_image(image, tmp_path / "output.png")
    with Image.open(tmp_path / "output.png") as again:
        assert again.info["icc_profile"] == b"profile of some camera"


def test_other_metadata_is_dropped(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    path = tmp_path / "input.jpg"
    path.write_bytes(encoded(Image.fromarray(picture()), "JPEG", exif=exif, comment="private"))
    assert load_image(path).info == {}


# --- files that are not -----------------------------------------------------------------------


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        load_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="is a folder"):
        load_image(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"Dear diary,", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "not a picture|damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (png_header(0, 0), "not a picture|damaged|no pixels"),
        (png_header(8, 8), "damaged"),
    ],
)
def test_what_is_not_a_picture_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        loaded(tmp_path, data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_pictures_are_refused(tmp_path: Path, kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(ImageError, match=r"damaged|cut short"):
        loaded(tmp_path, data[: int(len(data) * share)])


def test_damaged_bytes_never_escape_as_other_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    refused = 0
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF"):
        good = np.frombuffer(encoded(Image.fromarray(picture()), kind), np.uint8)
        for _ in range(40):
            bad = good.copy()
            places = rng.integers(0, len(bad), 8)
            bad[places] = rng.integers(0, 256, 8)
            try:
                loaded(tmp_path, bad.tobytes())
            except ImageError:
                refused += 1
    assert refused > 20


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_decompression_bombs_are_refused_unopened(tmp_path: Path, side: int) -> None:
    assert side * side > MAX_PIXELS
    with pytest.raises(ImageError, match="pixels allowed"):
        loaded(tmp_path, png_header(side, side))


def test_bomb_limit_holds_where_a_host_switched_pillows_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ImageError, match=r"10000 x 10000.*pixels allowed"):
        loaded(tmp_path, png_header(10_000, 10_000))


# --- arrays and tensors -----------------------------------------------------------------------


def test_to_tensor_gives_one_form_for_all_inputs() -> None:
    pixels = picture()
    expected = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    forms = [
        Image.fromarray(pixels),
        pixels,
        torch.from_numpy(pixels),
        pixels[None],
        pixels.astype(np.float32) / 255,
        pixels.astype(np.float64) / 255,
        (pixels.astype(np.float32) / 255).astype(">f4"),
        torch.from_numpy(pixels)[None] / 255,
        np.ascontiguousarray(pixels[::-1])[::-1],
    ]
    for form in forms:
        tensor = to_tensor(form)
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-7)


def test_to_tensor_keeps_batches_and_half_precision() -> None:
    batch = torch.rand(3, 8, 9, 3, dtype=torch.float16, generator=torch.Generator().manual_seed(0))
    tensor = to_tensor(batch)
    assert tensor.shape == (3, 3, 8, 9)
    assert torch.equal(tensor.permute(0, 2, 3, 1), batch.float())


def test_to_tensor_is_a_copy() -> None:
    source = torch.full((2, 2, 3), 0.5)
    to_tensor(source).fill_(0)
    assert source.min() == 0.5
    frozen = picture()
    frozen.setflags(write=False)
    to_tensor(frozen).fill_(0)
    assert np.array_equal(frozen, picture())


def test_to_tensor_lays_transparency_over_white() -> None:
    pixels = torch.zeros(1, 1, 4)
    pixels[..., 3] = 0.25
    assert to_tensor(pixels).flatten().tolist() == [0.75] * 3
    assert to_tensor(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).min() == 1


def test_to_tensor_clips_small_overshoot() -> None:
    tensor = to_tensor(torch.tensor([[[-0.05, 0.5, 1.05]]]))
    assert tensor.flatten().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.zeros(8, 8), r"not \[8, 8\]"),
        (torch.zeros(8, 8, 1), r"not \[8, 8, 1\]"),
        (torch.zeros(3, 8, 8), "Channels come last"),
        (torch.zeros(1, 3, 8, 8), "Channels come last"),
        (torch.zeros(1, 1, 8, 8, 3), r"not \[1, 1, 8, 8, 3\]"),
        (torch.zeros(0, 8, 3), "no pixels"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no pixels"),
        (torch.zeros(8, 8, 3, dtype=torch.int64), "int64"),
        (torch.zeros(8, 8, 3, dtype=torch.bool), "bool"),
        (np.zeros((8, 8, 3), np.uint16), "uint16"),
        (np.zeros((8, 8, 3), complex), "complex128"),
        (np.array([[["a"] * 3]]), "U1"),
        (torch.full((8, 8, 3), 200.0), "divide by 255"),
        (torch.full((8, 8, 3), -1.0), "-1..-1"),
        (torch.full((8, 8, 3), torch.nan), "NaN"),
        (np.full((8, 8, 3), np.inf), "NaN or infinite"),
        ([[[0, 0, 0]]], "not list"),
        ("portrait.png", "not str"),
        (None, "not NoneType"),
    ],
)
def test_to_tensor_refuses_what_is_no_picture(pixels: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        to_tensor(pixels)  # type: ignore[arg-type]


def test_uint8_round_trip_is_exact() -> None:
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(to_uint8(to_tensor(every)), every)


def test_to_uint8_rounds_and_clips() -> None:
    values = torch.tensor([-1.0, 0.4999 / 255, 0.5001 / 255, 2.0]).reshape(1, 4).expand(3, 1, 4)
    assert to_uint8(values)[0, :, 0].tolist() == [0, 0, 1, 255]
    assert to_uint8(values[None].to(torch.bfloat16)).shape == (1, 4, 3)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 4, 4), (4, 4, 3), (4, 4)])
def test_to_uint8_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match="One picture"):
        to_uint8(torch.zeros(shape))


def test_to_uint8_refuses_nan() -> None:
    with pytest.raises(ImageError, match="NaN"):
        to_uint8(torch.full((3, 2, 2), torch.nan))


# --- saving -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.tiff", "a.webp"])
def test_lossless_save_round_trip(tmp_path: Path, name: str) -> None:
    save_image(picture(), tmp_path / name)
    assert np.array_equal(np.asarray(load_image(tmp_path / name)), picture())
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg"])
def test_jpeg_save(tmp_path: Path, name: str) -> None:
    save_image(Image.fromarray(picture(64, 64)), tmp_path / name)
    difference = np.asarray(load_image(tmp_path / name)).astype(int) - picture(64, 64)
    assert np.abs(difference).mean() < 3


def test_masks_and_transparency_are_saved(tmp_path: Path) -> None:
    save_image(picture()[..., 0], tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as mask:
        assert mask.mode == "L"
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    save_image(clear, tmp_path / "clear.png")
    with Image.open(tmp_path / "clear.png") as again:
        assert again.mode == "RGBA"
    save_image(clear, tmp_path / "clear.jpg")
    assert np.asarray(load_image(tmp_path / "clear.jpg")).min() == 255


@pytest.mark.parametrize("name", ["a", "a.xyz", "a.png.txt", "a.mp4", ".png"])
def test_unknown_ending_is_refused_with_the_choices(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"\.png, \.jpg"):
        save_image(picture(), tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_save_refuses_bad_places(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        save_image(picture(), tmp_path / "absent" / "a.png")
    with pytest.raises(OutputError, match="does not exist"):
        check_image_path(tmp_path / "absent" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        save_image(picture(), tmp_path / "folder.png")


def test_picture_too_large_for_its_format(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="JPEG"):
        save_image(np.zeros((1, 70_000, 3), np.uint8), tmp_path / "a.jpg")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)],
)
def test_save_refuses_arrays_that_are_no_picture(tmp_path: Path, pixels: np.ndarray) -> None:
    with pytest.raises(ImageError, match="uint8"):
        save_image(pixels, tmp_path / "a.png")
    assert os.listdir(tmp_path) == []


def test_channels_last_is_the_way_back() -> None:
    pictures = torch.rand(2, 5, 7, 3)
    found = channels_last(to_tensor(pictures))
    assert found.is_contiguous()
    assert torch.equal(found, pictures)
    assert channels_last(torch.zeros(2, 1, 5, 7)).shape == (2, 5, 7, 1)
