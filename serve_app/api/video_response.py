"""Sends a stored video: all of it, or the ranges of bytes that were requested (RFC 9110, section 14)."""

import hashlib
import re
import secrets
from collections.abc import Iterator
from email.utils import formatdate

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from serve_app.api.conditions import is_current, is_same_version
from serve_app.storage.base import StoredVideo

_MEDIA_TYPE = "video/mp4"

# Each is read in a thread, and held in memory until the client has taken it.
_CHUNK_BYTES = 64 * 1024

# No player requests that many; a request for more gets the whole video.
_MAX_RANGES = 100

_POSITION = re.compile(r"[0-9]{0,40}")


def video_response(video: StoredVideo, filename: str, request: Request) -> Response:
    """The response to a GET or HEAD request for a video, which is read while it is sent.

    Args:
        video: the video.
        filename: the name under which a browser saves it, in ASCII.
        request: its If-None-Match and If-Modified-Since are honoured, those of a GET also with Range and
            If-Range.

    Raises:
        HTTPException: 400 for a malformed Range header, 416 if all its ranges start after the end.
    """
    version = {"Last-Modified": formatdate(video.modified_at, usegmt=True), "ETag": _etag(video)}
    if is_current(request.headers, version["ETag"], video.modified_at):
        return Response(status_code=304, headers=version)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{filename}"',
        **version,
        "Content-Type": _MEDIA_TYPE,
        "Content-Length": str(video.size),
    }
    if request.method == "HEAD":
        return Response(headers=headers)
    same = is_same_version(request.headers, version["ETag"], version["Last-Modified"])
    ranges = _wanted(request.headers, video.size) if same else []
    if len(ranges) > 1:
        content: Iterator[bytes] = _multipart(video, ranges, headers)
    elif ranges:
        headers["Content-Range"] = _content_range(ranges[0], video.size)
        headers["Content-Length"] = str(len(ranges[0]))
        content = _read(video, ranges[0])
    else:
        content = _read(video, range(video.size))
    return StreamingResponse(content, 206 if ranges else 200, headers)


def _etag(video: StoredVideo) -> str:
    """As Starlette's FileResponse makes it."""
    text = f"{video.modified_at}-{video.size}"
    return f'"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"'


def _wanted(sent: Headers, size: int) -> list[range]:
    """The requested ranges, those that touch or overlap merged; none for the whole video."""
    header = sent.get("range", "")
    unit, _, listed = header.partition("=")
    parts = listed.split(",")
    if unit.strip().lower() != "bytes" or len(parts) > _MAX_RANGES:
        return []
    bounds = [found for part in parts if (found := _bounds(part))]
    if not bounds:
        raise HTTPException(400, f"the Range header {header!r:.100} contains no range")
    ranges = [wanted for first, last in bounds if (wanted := _resolved(first, last, size))]
    if not ranges:
        raise HTTPException(
            416,
            f"the range starts after the end of the video, which has {size} bytes",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return _merged(ranges)


def _bounds(part: str) -> tuple[str, str] | None:
    """First and last byte; without a first one, the number of bytes at the end. None if it is not a range."""
    # A single pattern for both numbers and the blanks around them would take minutes on thousands of blanks.
    first, dash, last = (piece.strip() for piece in part.partition("-"))
    valid = dash and (first or last) and _POSITION.fullmatch(first) and _POSITION.fullmatch(last)
    return (first, last) if valid else None


def _resolved(first: str, last: str, size: int) -> range:
    """One range as positions in a video of this size; empty if it starts after the end."""
    if not first:
        return range(max(size - int(last), 0), size)
    if last and int(last) < int(first):
        raise HTTPException(400, f"the range {first}-{last} ends before it begins")
    return range(int(first), min(int(last) + 1, size) if last else size)


def _merged(ranges: list[range]) -> list[range]:
    if len(ranges) == 1:
        return ranges
    merged: list[range] = []
    for wanted in sorted(ranges, key=lambda one: one.start):
        if merged and wanted.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, wanted.stop))
        else:
            merged.append(wanted)
    return merged


def _read(video: StoredVideo, wanted: range) -> Iterator[bytes]:
    with video.open() as file:
        file.seek(wanted.start)
        left = len(wanted)
        while chunk := file.read(min(_CHUNK_BYTES, left)):
            left -= len(chunk)
            yield chunk


def _multipart(video: StoredVideo, ranges: list[range], headers: dict[str, str]) -> Iterator[bytes]:
    """Several ranges as one body; sets the headers that describe it."""
    boundary = secrets.token_hex(13)
    heads = [
        f"--{boundary}\r\nContent-Type: {_MEDIA_TYPE}\r\n"
        f"Content-Range: {_content_range(wanted, video.size)}\r\n\r\n".encode()
        for wanted in ranges
    ]
    end = f"--{boundary}--".encode()
    length = sum(len(head) + len(wanted) + len(b"\r\n") for head, wanted in zip(heads, ranges, strict=True))
    headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    headers["Content-Length"] = str(length + len(end))

    def parts() -> Iterator[bytes]:
        for head, wanted in zip(heads, ranges, strict=True):
            yield head
            yield from _read(video, wanted)
            yield b"\r\n"
        yield end

    return parts()


def _content_range(wanted: range, size: int) -> str:
    return f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
