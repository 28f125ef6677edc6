"""What comes in is decoded to prove that it is an image, and leaves without what it says about its maker.

Decoding and encoding anew keeps pixels, colour profile and orientation, and nothing else: no EXIF with its place and
camera, no comments, no thumbnail, nothing behind the image's end.
"""

import io
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image, ImageOps, JpegImagePlugin

MOST_BYTES: Final = 50 * 1024 * 1024
_MOST_PIXELS: Final = 64_000_000
_TYPES: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}

Image.MAX_IMAGE_PIXELS = _MOST_PIXELS // 2  # Pillow refuses to decode above twice this


class Rejected(ValueError):
    """The file can't be taken in. The message is for its owner and quotes nothing of it."""


@dataclass(frozen=True)
class CleanImage:
    """An image that may be kept. `width` and `height` are in pixels, as it is meant to be seen."""

    content: bytes
    contentType: str
    width: int
    height: int


def check_size(size: int) -> None:
    """Refuse by size alone, before anything is downloaded. `size` in bytes."""
    if size == 0:
        raise Rejected("The file is empty.")
    if size > MOST_BYTES:
        raise Rejected("The file is larger than 50 MiB.")


def clean(raw: bytes) -> CleanImage:
    """The image in `raw`, free of metadata; raises Rejected if there is none that we take."""
    check_size(len(raw))
    try:
        with Image.open(io.BytesIO(raw), formats=list(_TYPES)) as image:
            return _encode(image)
    except Rejected:
        raise
    except Exception:  # noqa: BLE001  (a decoder fed with hostile bytes raises whatever it likes)
        raise Rejected("This is not a JPEG, PNG, WebP or GIF image, or it is damaged.") from None


def _encode(image: Image.Image) -> CleanImage:
    options: dict[str, Any] = {"icc_profile": image.info.get("icc_profile")}
    kind = image.format or ""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        kind = "JPEG"  # MPO too: a photograph with the phone's own previews behind it
        # The camera's own quantisation: encoding again loses next to nothing.
        options |= {"qtables": image.quantization, "subsampling": JpegImagePlugin.get_sampling(image)}
        options |= {"optimize": True}
    elif getattr(image, "n_frames", 1) > 1:
        raise Rejected("Moving images are not taken.")
    elif kind == "WEBP":
        options |= {"quality": 95}
    if image.width * image.height > _MOST_PIXELS:
        raise Rejected("The image has more than 64 million pixels.")
    image.load()
    upright = ImageOps.exif_transpose(image)
    # A new image holds pixels only: `info` is what would carry metadata into the file.
    bare = Image.new(upright.mode, upright.size)
    bare.paste(upright)
    if palette := upright.getpalette("RGBA" if upright.mode == "PA" else "RGB") if upright.mode == "P" else None:
        bare.putpalette(palette)
    if "transparency" in upright.info:
        options["transparency"] = upright.info["transparency"]
    content = io.BytesIO()
    bare.save(content, kind, **options)
    return CleanImage(content.getvalue(), _TYPES[kind], *upright.size)
