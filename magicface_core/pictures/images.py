"""Pictures in and out: every common file and array to RGB, checked, and written whole.

Inside the library a picture is a float32 tensor [B, 3, H, W] with values 0..1.
"""

from __future__ import annotations

import io
import logging
import math
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import ImageError, OutputError
from ..files import check_destination, write_file

if TYPE_CHECKING:
    import torch

ImageInput: TypeAlias = "Image.Image | np.ndarray | torch.Tensor"

logger = logging.getLogger(__name__)

MAX_PIXELS = 89_478_485  # Pillow's own limit against decompression bombs, about 9459 x 9459
WHITE = (255, 255, 255)
OVERSHOOT = 0.1  # how far resampling may carry a value out of 0..1 before it is another range

# Raster formats only: Pillow would hand some others (EPS) to an outside program.
READABLE = (
    "PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM", "TGA", "ICO",
)  # fmt: skip
WRITABLE = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP",
    ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
SAVE_OPTIONS: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}

# What Pillow raises for damaged files, depending on the format and on where the damage is.
DAMAGE = (
    OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError,
    AttributeError, OverflowError, MemoryError, struct.error, zlib.error,
)  # fmt: skip


def load_image(path: str | os.PathLike[str]) -> Image.Image:
    """Read a picture file as upright 8-bit RGB, whatever it holds.

    EXIF rotation is applied; transparency is laid over white; CMYK, palette, grey, 16-bit and
    1-bit pictures are converted; of an animation the first frame is taken. An RGB picture keeps
    its colour profile in `info["icc_profile"]`.

    Raises ImageError when the file is absent, empty, damaged, too large or not a picture.
    """
    data = _read_file(Path(path))
    try:
        image = _decode(data)
    except UnidentifiedImageError as error:
        raise ImageError(
            f'"{path}" is not a picture this program can read, or it is cut short.'
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(_too_large(f'"{path}"')) from error
    except DAMAGE as error:
        raise ImageError(f'"{path}" is damaged or incomplete: {error}.') from error
    return _to_rgb(image, f'"{path}"')


def to_tensor(image: ImageInput) -> torch.Tensor:
    """Turn a picture into a new float32 tensor [B, 3, H, W] with values 0..1.

    Accepts a PIL picture of any mode; uint8 arrays or tensors [H, W, C] or [B, H, W, C] with
    values 0..255; floating point ones with values 0..1 (small overshoot from resampling is
    clipped). C is 3, or 4 with transparency, which is laid over white. Tensors keep their
    device. Raises ImageError for anything else, and for NaN or infinite values.
    """
    import torch

    if isinstance(image, Image.Image):
        image = np.array(_to_rgb(image, "The picture"))
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(_native(image))
    if not isinstance(image, torch.Tensor):
        raise ImageError(
            f"A picture must be a PIL image, an array or a tensor, not {type(image).__name__}."
        )
    return _from_channels_last(image.detach())


def channels_last(images: torch.Tensor) -> torch.Tensor:
    """Pictures [B, 3, H, W] as contiguous [B, H, W, 3]: the way back from `to_tensor`."""
    return images.permute(0, 2, 3, 1).contiguous()


def to_uint8(image: torch.Tensor) -> np.ndarray:
    """Turn a picture [3, H, W] or [1, 3, H, W] with values 0..1 into uint8 [H, W, 3], rounded."""
    single = image[0] if image.ndim == 4 and image.shape[0] == 1 else image
    if single.ndim != 3 or single.shape[0] != 3:
        raise ImageError(f"One picture [3, H, W] is needed, not {list(image.shape)}.")
    values = single.detach().float().cpu()
    if not values.isfinite().all():
        raise ImageError("The picture holds NaN or infinite values.")
    pixels = values.clamp(0, 1).mul_(255).round_().byte()
    return pixels.permute(1, 2, 0).contiguous().numpy()


def save_image(image: Image.Image | np.ndarray, path: str | os.PathLike[str]) -> None:
    """Write a PIL picture, or uint8 [H, W, 3] or [H, W], in the format of the name's ending.

    The file appears whole or not at all. Raises OutputError for an unknown ending and for a
    folder or file that cannot be written, ImageError for an array that is no picture.
    """
    kind = image_format(path)
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if image.mode not in ("RGB", "L") and not (kind in ("PNG", "WEBP") and image.mode == "RGBA"):
        image = _to_rgb(image, "The picture")
    buffer = io.BytesIO()
    try:
        image.save(buffer, format=kind, **SAVE_OPTIONS.get(kind, {}))
    except (OSError, ValueError) as error:
        raise OutputError(f'"{path}" cannot be written as {kind}: {error}.') from error
    write_file(path, buffer.getvalue())


def image_format(path: str | os.PathLike[str]) -> str:
    """The format that a file name asks for, such as "PNG". Raises OutputError if unknown."""
    ending = Path(path).suffix.lower()
    if ending not in WRITABLE:
        raise OutputError(
            f'"{path}" does not end like a picture; use one of {", ".join(WRITABLE)}.'
        )
    return WRITABLE[ending]


def check_image_path(path: str | os.PathLike[str]) -> None:
    """Raise OutputError now for what `save_image` would refuse after the work is done."""
    image_format(path)
    check_destination(path)


def _read_file(path: Path) -> bytes:
    if path.is_dir():
        raise ImageError(f'"{path}" is a folder; give a picture file.')
    if path.exists() and not path.is_file():
        raise ImageError(f'"{path}" is a device or pipe; give a picture file.')
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f'"{path}" does not exist.') from error
    except (OSError, ValueError) as error:
        raise ImageError(f'"{path}" cannot be read: {error}.') from error
    if not data:
        raise ImageError(f'"{path}" is empty (0 bytes).')
    return data


def _decode(data: bytes) -> Image.Image:
    """First frame, decoded and upright, in the file's own mode."""
    Image.init()
    formats = [name for name in READABLE if name in Image.OPEN]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=formats) as image:
            _check_size(image, "The picture")
            image.load()
            return _upright(image)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except DAMAGE as error:  # unreadable metadata must not cost the user the picture
        logger.debug("EXIF data cannot be read, rotation left as it is: %s", error)
        return image.copy()


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    _check_size(image, name)
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
    try:
        rgb = _convert(image)
    except DAMAGE as error:
        raise ImageError(
            f"{name} has colour mode {image.mode}, which cannot be converted to RGB: {error}."
        ) from error
    rgb.info = {"icc_profile": profile} if profile else {}
    return rgb


def _convert(image: Image.Image) -> Image.Image:
    """RGB copy of a picture of any mode; transparency over white, deep grey scaled to 8 bits."""
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, WHITE), layer).convert("RGB")
    return image.copy() if image.mode == "RGB" else image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, scaled rather than clipped as Pillow's own conversion does.

    Integers use the 16-bit range, or the 32-bit one where a value needs it; floating point
    pictures use 0..1, or 0..255 where a value needs it.
    """
    values = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite values")
    ranges = (1.0, 255.0) if image.mode == "F" else (65535.0, 2.0**31 - 1)
    full = next((limit for limit in ranges if values.max() <= limit), math.inf)
    if math.isinf(full) or values.min() < 0:
        raise ValueError(f"its values {values.min():g}..{values.max():g} fit no known range")
    grey = np.rint(values * (255.0 / full)).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _check_size(image: Image.Image, name: str) -> None:
    if image.width < 1 or image.height < 1:
        raise ImageError(f"{name} has no pixels ({image.width} x {image.height}).")
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(_too_large(f"{name} ({image.width} x {image.height})"))


def _too_large(name: str) -> str:
    return f"{name} has more than the {MAX_PIXELS:,} pixels allowed; make it smaller first."


def _native(array: np.ndarray) -> np.ndarray:
    """A writable array in the machine's byte order, or an error for types that are no pixels."""
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise ImageError(_wrong_type(str(array.dtype)))
    wide = np.float32 if array.dtype.kind == "f" else np.uint8
    return np.array(array, dtype=wide, order="C")


def _from_channels_last(pixels: torch.Tensor) -> torch.Tensor:
    import torch

    _check_pixels(pixels)
    whole = pixels.dtype == torch.uint8
    values = pixels.to(torch.float32) / (255.0 if whole else 1.0)
    if not whole:
        _check_range(values)
    batch = values.clamp(0, 1).reshape(-1, *values.shape[-3:]).permute(0, 3, 1, 2)
    colour = batch[:, :3]
    if batch.shape[1] == 4:
        alpha = batch[:, 3:]
        colour = colour * alpha + (1 - alpha)
    return colour.contiguous()


def _check_pixels(pixels: torch.Tensor) -> None:
    import torch

    shape = list(pixels.shape)
    if pixels.dtype != torch.uint8 and not pixels.is_floating_point():
        raise ImageError(_wrong_type(str(pixels.dtype)))
    if pixels.ndim not in (3, 4) or shape[-1] not in (3, 4):
        turned = pixels.ndim in (3, 4) and shape[-3] in (3, 4)
        hint = " Channels come last here: use permute or transpose." if turned else ""
        raise ImageError(f"A picture is [H, W, 3] or [B, H, W, 3], not {shape}.{hint}")
    if 0 in shape:
        raise ImageError(f"The picture has no pixels: its shape is {shape}.")


def _check_range(values: torch.Tensor) -> None:
    if not values.isfinite().all():
        raise ImageError("The picture holds NaN or infinite values.")
    low, high = float(values.min()), float(values.max())
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        raise ImageError(
            f"Floating point pictures hold values 0..1, not {low:g}..{high:g}: "
            "divide by 255, or map -1..1 to 0..1 first."
        )


def _wrong_type(dtype: str) -> str:
    return f"A picture holds uint8 (0..255) or floating point (0..1) values, not {dtype}."


def _from_array(array: np.ndarray) -> Image.Image:
    colour = array.ndim == 3 and array.shape[-1] == 3
    if array.dtype != np.uint8 or not (colour or array.ndim == 2) or 0 in array.shape:
        raise ImageError(
            f"A picture to save is uint8 [H, W, 3] or [H, W], not {array.dtype} "
            f"{list(array.shape)}."
        )
    return Image.fromarray(np.ascontiguousarray(array))
