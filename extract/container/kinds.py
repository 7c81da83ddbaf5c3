"""What a file is that is no video, in a few words with the remedy."""

from pathlib import Path

HEAD_BYTES = 1024
TEXT = frozenset({*range(0x20, 0x7F), *b"\t\n\r\f"})

BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive, not a video; unpack it, and give the video in it"),
    (b"PK\x05\x06", "an empty zip archive, not a video; download it again"),
    (b"Rar!", "a RAR archive, not a video; unpack it, and give the video in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive, not a video; unpack it, and give the video in it"),
    (b"\x1f\x8b", "a gzip file, not a video; unpack it with `gunzip`"),
    (b"%PDF", "a PDF document, not a video; give a video of the match"),
    (b"\x89HDF", "an HDF5 file (a feature store?), not a video; give a video of the match"),
    (b"#EXTM3U", "a playlist, not a video; download what it lists, e.g. `ffmpeg -i LIST -c copy OUT.mp4`"),
    (b"[InternetShortcut]", "a link to a web page, not a video; download the video itself"),
)


def what_else(path: Path, reason: str) -> str:
    """What a file that FFmpeg cannot read is, as the rest of an error that begins with its path.

    `reason` is what FFmpeg says, which stands there where the file is of no kind known here.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        return f"cannot be read ({error.strerror}); check its rights"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the video itself; fetch it with `git lfs pull`"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    start = text[:14].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page, not a video (a log-in or error page that was saved?); download the video again"
    if start.startswith((b"<?xml", b"<error")):
        return "an XML document, not a video (an error of a server that was saved?); download the video again"
    if start.startswith((b"{", b"[{")):
        return "a JSON document, not a video (an error of a server that was saved?); download the video again"
    for beginning, what in BEGINNINGS:
        if text.startswith(beginning):
            return what
    if head and not head.strip(b"\0"):
        return "begins with zeros, not with a video (a download that was not finished?); download it again"
    if head and not set(head) - TEXT:
        return "text, not a video; give a video of the match"
    if head[4:8] in (b"styp", b"sidx", b"moof"):
        return (
            "a fragment of an MP4 stream without its beginning, which says what it holds; put the initialisation "
            "segment before it (`cat init.mp4 *.m4s > OUT.mp4`), or copy the stream by its playlist"
        )
    if head[4:8] in (b"ftyp", b"mdat", b"free", b"wide") and not _has_index(path):
        return (
            "an MP4 without its index (no moov box: a recording or a copy that was cut short); copy or download it "
            "again, or rebuild the index with a tool such as untrunc"
        )
    return f"cannot be read as a video ({reason}); copy or download it again"


def _has_index(path: Path) -> bool:
    """Whether an MP4 file has a moov box, going from box to box."""
    n_bytes = path.stat().st_size
    at = 0
    with path.open("rb") as stream:
        while at + 8 <= n_bytes:
            stream.seek(at)
            head = stream.read(16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if kind == b"moov":
                return at + size <= n_bytes
            if size == 1:
                size = int.from_bytes(head[8:16], "big")
            if size < 8:  # 0: to the end of the file; anything else is no box
                return False
            at += size
    return False
