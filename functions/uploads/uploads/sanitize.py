"""Sanitizing an image: decode, strip metadata, encode anew.

Decoding and encoding anew keeps pixels, colour profile and orientation, and nothing else: no EXIF with its place and
camera, no XMP, IPTC or comment, no thumbnail, nothing behind the image's end. A JPEG keeps its own quantisation (PSNR
above 60 dB on the test photograph). HEIC, which browsers don't show, becomes a JPEG.
"""

import io
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from PIL import Image, ImageCms, ImageOps, ImageSequence, JpegImagePlugin
from pillow_heif import register_heif_opener

MAX_BYTES: Final = 50 * 1024 * 1024
MAX_PIXELS: Final = 64_000_000
"""Of all frames together."""
MAX_FRAMES: Final = 500
_MAX_DECODE_SECONDS: Final = 60.0
_MAX_PROFILE_BYTES: Final = 1024 * 1024
_THUMBNAIL_PIXELS: Final = (320, 320)
_REDUCIBLE: Final = ("RGB", "RGBA", "L", "CMYK")
_TYPES: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
_FORMATS: Final = (*_TYPES, "HEIF")

Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses to decode above twice this, and warns from here on
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
register_heif_opener(thumbnails=False)


class Rejected(ValueError):
    """The file can't be taken in. The message is for its owner and quotes nothing of it."""


@dataclass(frozen=True)
class CleanImage:
    """An image that may be kept, decoded. What is stored of it is encoded when it is first asked for.

    `width` and `height` are in pixels, as it is meant to be seen.
    """

    contentType: str
    width: int
    height: int
    _pictures: list[Image.Image]
    _shown: Image.Image
    _kind: str
    _options: dict[str, Any]

    @cached_property
    def content(self) -> bytes:
        """The file to keep; raises Rejected if it can't be encoded."""
        sink = io.BytesIO()
        with _rejecting():
            self._pictures[0].save(sink, self._kind, **self._options)
        return sink.getvalue()

    @cached_property
    def thumbnail(self) -> bytes:
        """WebP of at most 320 pixels a side; of a moving image, its first frame. Raises Rejected."""
        with _rejecting():
            return _thumbnail(self._shown, self._options["icc_profile"])


def check_size(size: int) -> None:
    """Refuse by size alone, before anything is downloaded. `size` in bytes."""
    if size == 0:
        raise Rejected("The file is empty.")
    if size > MAX_BYTES:
        raise Rejected("The file is larger than 50 MiB.")


def clean(raw: bytes) -> CleanImage:
    """The image in `raw`, free of metadata; raises Rejected if there is none that we take."""
    check_size(len(raw))
    with _rejecting(), Image.open(io.BytesIO(raw), formats=_FORMATS) as image:
        return _decode(image)


@contextmanager
def _rejecting() -> Iterator[None]:
    try:
        yield
    except (Rejected, MemoryError):
        raise  # out of memory is our trouble, not the file's: another try may find more
    except Exception:  # noqa: BLE001  (a decoder fed with hostile bytes raises whatever it likes)
        raise Rejected("This is not a JPEG, PNG, WebP, GIF or HEIC image, or it is damaged.") from None


def _decode(image: Image.Image) -> CleanImage:
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        # MPO too: a photograph with the phone's own previews behind it, which are dropped.
        kind, frames = "JPEG", 1
        options: dict[str, Any] = {"qtables": image.quantization, "subsampling": JpegImagePlugin.get_sampling(image)}
    elif image.format == "HEIF":
        kind, frames, options = "JPEG", 1, {"quality": 95, "subsampling": "4:4:4"}
    else:
        kind, frames = image.format or "", _count_frames(image)
        options = {"WEBP": {"quality": 95, "exact": True}}.get(kind, {})
    _check_extent(image, frames)
    options["icc_profile"] = _profile(image)
    if frames > 1:
        pictures, timing = _frames(image)
        options |= timing | {"save_all": True, "append_images": pictures[1:]}
    else:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if kind == "JPEG" and image.mode not in ("RGB", "L", "CMYK"):
            image = image.convert("RGB")
        pictures = [_bare(image)]
    first = pictures[0]
    if "transparency" in first.info:
        options["transparency"] = first.info["transparency"]
    # Pillow changes a palette image's own palette when it converts it, and another thread may be writing it just then.
    shown = first if first.mode in _REDUCIBLE else first.copy()
    return CleanImage(_TYPES[kind], *first.size, pictures, shown, kind, options)


def _count_frames(image: Image.Image) -> int:
    """Up to one more than we take: a file may claim millions, and Pillow would go through them all."""
    if not getattr(image, "is_animated", False):
        return 1
    count = 1
    with suppress(EOFError):
        while count <= MAX_FRAMES and image.width * image.height * count <= MAX_PIXELS:
            image.seek(count)
            count += 1
    image.seek(0)
    return count


def _check_extent(image: Image.Image, frames: int) -> None:
    if frames > MAX_FRAMES:
        raise Rejected("The image has more than 500 frames.")
    if image.width * image.height * frames > MAX_PIXELS:
        raise Rejected("The image has more than 64 million pixels.")


def _frames(image: Image.Image) -> tuple[list[Image.Image], dict[str, Any]]:
    """Every frame as it is meant to be seen, and how long each stays."""
    deadline = time.monotonic() + _MAX_DECODE_SECONDS
    pictures, durations = [], []
    for frame in ImageSequence.Iterator(image):
        if time.monotonic() > deadline:
            raise Rejected("The image takes too long to decode.")
        pictures.append(_bare(frame.convert("RGBA")))
        durations.append(int(frame.info.get("duration", 100)))
    return pictures, {"duration": durations, "loop": image.info.get("loop", 0), "disposal": 2}


def _bare(image: Image.Image) -> Image.Image:
    """Pixels, palette and transparency only: what else `info` holds is what would carry metadata into the file."""
    image.info = {name: value for name, value in image.info.items() if name == "transparency"}
    return image


def _profile(image: Image.Image) -> bytes | None:
    """The colour profile, if it is one: anything may be hidden in what merely claims to be, or behind its end."""
    raw = image.info.get("icc_profile") or b""
    size = int.from_bytes(raw[:4], "big")
    if not size <= len(raw) <= _MAX_PROFILE_BYTES:
        return None
    profile = bytes(raw[:size])
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (OSError, ImageCms.PyCMSError):
        return None
    return profile


def _thumbnail(image: Image.Image, profile: bytes | None) -> bytes:
    mode = "RGBA" if _transparent(image) else "RGB"
    if image.mode == "I;16":
        image = image.point(lambda grey: grey / 256).convert("L")  # converting alone would clip, not scale
    elif image.mode not in _REDUCIBLE:
        image = image.convert(mode)  # palettes can't be averaged
    # Whole blocks first: far fewer pixels are left to filter and to convert.
    small = image.reduce(max(1, max(image.size) // (_THUMBNAIL_PIXELS[0] * 2)))
    small.thumbnail(_THUMBNAIL_PIXELS)
    if small.mode == "CMYK":
        profile = None  # it describes inks
    content = io.BytesIO()
    small.convert(mode).save(content, "WEBP", quality=80, method=2, icc_profile=profile)
    return content.getvalue()


def _transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
