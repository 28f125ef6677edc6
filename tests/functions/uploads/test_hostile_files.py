"""A corpus of hostile files, built here: each is cleaned of what it carries or rejected, quickly and in bounds."""

import io
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable

import pillow_heif
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from uploads import sanitize

CANARY = b"canary-28.5621N-80.5774W"
TEXT = CANARY.decode()
PAYLOAD = b"<script>alert('canary')</script><?php system('canary'); ?>"


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    sink = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(sink, kind, **options)
    return sink.getvalue()


def exif() -> Image.Exif:
    """A place and a name in every directory that EXIF has."""
    made = Image.Exif()
    made[ExifTags.Base.ImageDescription] = TEXT
    made[ExifTags.Base.Artist] = TEXT
    made[ExifTags.Base.XPComment] = TEXT.encode("utf-16-le")
    place = {1: "N", 2: (28.0, 33.0, 43.68), 3: "W", 4: (80.0, 34.0, 38.28), 29: TEXT}
    made._ifds[ExifTags.IFD.GPSInfo] = place
    made._ifds[ExifTags.IFD.Exif] = {ExifTags.Base.UserComment: CANARY, ExifTags.Base.MakerNote: CANARY}
    made._ifds[ExifTags.IFD.IFD1] = {ExifTags.Base.Make: TEXT}
    return made


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_with(*chunks: bytes) -> bytes:
    raw = picture("PNG")
    return raw[:33] + b"".join(chunks) + raw[33:]


def riff_with(*chunks: tuple[bytes, bytes]) -> bytes:
    extra = b"".join(n + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for n, c in chunks)
    body = picture("WEBP", lossless=True)[12:] + extra
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def heic(**options: object) -> bytes:
    sink = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(sink, "HEIF", **options)
    return sink.getvalue()


def gif_claiming_frames(count: int, side: int = 1) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0" + b"\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + frame * count + b";"


def zip_bomb() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0", b"\0" * 50_000_000)
    return sink.getvalue()


def huge_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def huge_jpeg() -> bytes:
    raw = picture()
    at = raw.index(b"\xff\xc0") + 5
    return raw[:at] + struct.pack(">HH", 65_000, 65_000) + raw[at + 4 :]


def text_bomb() -> bytes:
    return png_with(chunk(b"zTXt", b"k\0\0" + zlib.compress(b"canary" * 10_000_000)))


def multi_picture() -> bytes:
    sink, image = io.BytesIO(), Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    second = image.copy()
    second.encoderinfo = {"comment": CANARY}  # type: ignore[attr-defined]
    image.save(sink, "MPO", save_all=True, append_images=[second], comment=CANARY)
    return sink.getvalue()


def many(name: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", TEXT)
    info.add_itxt("XML:com.adobe.xmp", TEXT)
    return {
        "PNG": picture("PNG", pnginfo=info, exif=exif()),
        "WEBP": picture("WEBP", exif=exif(), xmp=CANARY),
        "GIF": picture("GIF", comment=CANARY),
    }[name]


CARRIERS: dict[str, Callable[[], bytes]] = {
    "EXIF in every directory": lambda: picture(exif=exif()),
    "EXIF twice": lambda: with_segments(picture(exif=exif()), segment(0xE1, b"Exif\0\0" + CANARY)),
    "XMP": lambda: with_segments(picture(), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + CANARY)),
    "extended XMP": lambda: with_segments(picture(), segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + CANARY)),
    "IPTC": lambda: with_segments(picture(), segment(0xED, b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x18" + CANARY)),
    "comment": lambda: with_segments(picture(), segment(0xFE, CANARY)),
    "unknown APP segments": lambda: with_segments(picture(), *(segment(n, CANARY) for n in range(0xE3, 0xEF))),
    "JFIF thumbnail": lambda: with_segments(picture(), segment(0xE0, b"JFXX\0\x10" + picture(comment=CANARY))),
    "multi-picture": multi_picture,
    "bytes behind the end": lambda: picture() + CANARY,
    "a second JPEG behind the end": lambda: picture() + picture(comment=CANARY),
    "JPEG and HTML": lambda: with_segments(picture(), segment(0xFE, PAYLOAD)) + PAYLOAD,
    "JPEG and ZIP": lambda: picture() + zip_bomb(),
    "not a colour profile": lambda: with_segments(picture(), segment(0xE2, b"ICC_PROFILE\0\x01\x01" + CANARY)),
    "PNG text, XMP and EXIF": lambda: many("PNG"),
    "PNG unknown chunks": lambda: png_with(chunk(b"prVt", CANARY), chunk(b"tIME", b"\x07\xea\1\1\1\1\1")),
    "PNG bytes behind the end": lambda: picture("PNG") + CANARY,
    "WebP EXIF and XMP": lambda: many("WEBP"),
    "WebP unknown chunks": lambda: riff_with((b"ABCD", CANARY)),
    "WebP bytes behind the end": lambda: picture("WEBP") + CANARY,
    "GIF comment": lambda: many("GIF"),
    "GIF bytes behind the end": lambda: picture("GIF") + CANARY,
    "HEIC EXIF and XMP": lambda: heic(exif=exif().tobytes(), xmp=CANARY),
    "HEIC bytes behind the end": lambda: heic() + CANARY,
}

REJECTED: dict[str, Callable[[], bytes]] = {
    "PNG of 100k by 100k": lambda: huge_png(100_000, 100_000),
    "PNG of 2^31 by 1": lambda: huge_png(2**31 - 1, 1),
    "PNG of 0 by 0": lambda: huge_png(0, 0),
    "JPEG of 65k by 65k": huge_jpeg,
    "GIF of 10^6 frames": lambda: gif_claiming_frames(1_000_000),
    "zip bomb named WebP": zip_bomb,
    "PNG text bomb": text_bomb,
    "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "HTML": lambda: b"<!doctype html>" + PAYLOAD,
    "GIF header and script": lambda: b"GIF89a/*" + PAYLOAD + b"*/",
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "PDF": lambda: b"%PDF-1.7\n" + PAYLOAD,
    "TIFF": lambda: picture("TIFF"),
    "ICO": lambda: picture("ICO"),
    "AVIF": lambda: picture("AVIF"),
    "random": lambda: bytes(range(256)) * 100,
    "zeros": lambda: b"\0" * 100_000,
    "JPEG start only": lambda: b"\xff\xd8\xff",
    "PNG start only": lambda: b"\x89PNG\r\n\x1a\n",
    "RIFF start only": lambda: b"RIFF\xff\xff\xff\xffWEBP",
    "HEIC start only": lambda: heic()[:64],
    "PNG with a wrong checksum": lambda: picture("PNG")[:40] + b"\xff" + picture("PNG")[41:],
}


@pytest.mark.parametrize("name", CARRIERS)
def test_what_a_file_carries_besides_its_pixels_is_gone(name: str) -> None:
    raw = CARRIERS[name]()
    clean = sanitize.clean(raw)
    for content in (clean.content, clean.thumbnail):
        assert b"anary" not in content, "what it carries"
        assert "canary".encode("utf-16-le") not in content
        for marker in (b"Exif", b"script", b"php", b"8BIM", b"PK\x03\x04", b"http://ns.adobe.com"):
            assert marker not in content
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            assert not image.getexif()
            assert not getattr(image, "text", {})
    assert content.count(b"\xff\xd8\xff") <= 1
    assert (clean.width, clean.height) == (64, 48)


def test_the_corpus_does_carry_something() -> None:
    """What the test above looks for is there before; compressed or encoded carriers are checked through Pillow."""
    for name, build in CARRIERS.items():
        if name != "JPEG and ZIP":
            assert b"anary" in build(), name


@pytest.mark.parametrize("name", REJECTED)
def test_a_hostile_file_is_rejected_within_bounds(name: str) -> None:
    raw = REJECTED[name]()
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(sanitize.Rejected) as rejected:
            sanitize.clean(raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 20
    assert peak < 300 * 1024 * 1024
    assert "canary" not in str(rejected.value)


def test_the_limit_on_pixels_is_on_all_frames_together() -> None:
    assert sanitize.clean(gif_claiming_frames(3, 4000)).width == 4000
    with pytest.raises(sanitize.Rejected, match="64 million pixels"):
        sanitize.clean(gif_claiming_frames(5, 4000))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "HEIF"])
def test_a_file_cut_anywhere_is_rejected_or_whole(kind: str) -> None:
    raw = heic() if kind == "HEIF" else picture(kind)
    for end in range(0, len(raw) - 20, max(1, len(raw) // 60)):
        with pytest.raises(sanitize.Rejected):
            sanitize.clean(raw[:end])


def test_heic_becomes_an_upright_jpeg_with_its_colours() -> None:
    image = Image.new("RGB", (64, 48), (200, 30, 40))
    image.paste((20, 30, 200), (0, 0, 32, 48))
    sink = io.BytesIO()
    pillow_heif.from_pillow(image).save(sink, quality=95)
    clean = sanitize.clean(sink.getvalue())
    with Image.open(io.BytesIO(clean.content)) as after:
        assert (clean.contentType, after.format, after.size) == ("image/jpeg", "JPEG", (64, 48))
        for at, wanted in (((8, 24), (20, 30, 200)), ((56, 24), (200, 30, 40))):
            seen = after.getpixel(at)
            assert isinstance(seen, tuple)
            assert max(abs(a - b) for a, b in zip(seen, wanted, strict=True)) < 12
