"""Videos are sent as Starlette sends files, wherever a storage keeps them."""

import email
import io
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from fastapi.testclient import TestClient

from serve_app.api.error_responses import install_error_handlers
from serve_app.api.middleware.error_shape import ErrorShapeMiddleware
from serve_app.api.video_response import video_response

SIZE = 200_000
CONTENT = bytes(number * number % 251 for number in range(SIZE))


@dataclass(frozen=True)
class VideoElsewhere:
    """A video that is no file."""

    size: int
    modified_at: float

    def open(self):
        return io.BytesIO(CONTENT)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """An API that sends the same video from elsewhere, at /ours, and from a file, at /starlette."""
    path = tmp_path_factory.mktemp("videos") / "video.mp4"
    path.write_bytes(CONTENT)
    status = path.stat()
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(ErrorShapeMiddleware)

    @app.api_route("/ours", methods=["GET", "HEAD"])
    async def ours(request: Request):
        return video_response(VideoElsewhere(status.st_size, status.st_mtime), "mine.mp4", request)

    @app.api_route("/starlette", methods=["GET", "HEAD"])
    async def starlette():
        return FileResponse(path, media_type="video/mp4", filename="mine.mp4", stat_result=status)

    with TestClient(app) as client:
        yield client


def told(response: httpx.Response) -> dict[str, object]:
    """All of an answer but for the boundary, which is drawn, and the words of an error."""
    headers, body = dict(response.headers), response.content
    if response.is_error:
        headers.pop("content-length")
        body = response.json()["error"]["type"] if body else None
    kind, _, boundary = headers["content-type"].partition("; boundary=")
    if boundary:
        headers["content-type"] = kind
        body = body.replace(boundary.encode(), bytes(len(boundary)))
    return {"status": response.status_code, "headers": headers, "body": body}


RANGES = [
    "bytes=0-0",
    "bytes=100-199",
    "bytes=199999-",
    "bytes=-1",
    "bytes=-500000",
    "bytes=5-99999999",
    "Bytes = 7 - 9",
    "bytes=0-",
    f"bytes={SIZE}-",
    "bytes=99999999-",
    "bytes=-0",
    "bytes=5-4",
    "bytes=",
    "bytes=-",
    "bytes=a-b",
    "bytes=a-b,3-4",
    "bytes",
    "bytes=0-9,20-29",
    "bytes=20-29,0-9,5-12",
    "bytes=0-9,10-19",
    "bytes=99999999-,200000-200001",
    "bytes=-5,0-70000",
    "bytes=" + ",".join(f"{first}-{first}" for first in range(0, 200, 2)),
    "bytes=" + ",".join(f"{first}-{first}" for first in range(0, 202, 2)),
]


@pytest.mark.parametrize("wanted", [None, *RANGES], ids=lambda text: str(text)[:24])
def test_every_range_is_answered_as_starlette_does(client, wanted):
    headers = {} if wanted is None else {"Range": wanted}
    ours, starlettes = (client.get(path, headers=headers) for path in ("/ours", "/starlette"))
    assert told(ours) == told(starlettes)


@pytest.mark.parametrize("wanted", [None, "bytes=0-9", "bytes=0-9,20-29", "bytes=99999999-", "bytes=5-4"])
def test_head_tells_of_the_whole_video(client, wanted):
    headers = {} if wanted is None else {"Range": wanted}
    assert told(client.head("/ours", headers=headers)) == told(client.head("/starlette"))


@pytest.mark.parametrize(
    "unit", ["items=0-5", "lines=1-2", "seconds=0-1", "bytesx=0-1", "byte=0-1", "none", "", "=0-1", "é=0-1"]
)
def test_ranges_in_units_that_we_do_not_know_are_ignored(client, unit):
    headers = [(b"range", unit.encode())]
    assert told(client.get("/ours", headers=headers)) == told(client.get("/starlette"))


@pytest.mark.parametrize(
    ("wanted", "same_as"),
    [
        ("bytes=0-9,99999999-", "bytes=0-9"),
        ("bytes=200000-,-5", "bytes=-5"),
        ("bytes=-0,7-9", "bytes=7-9"),
        ("bytes=5-6,200000-300000,10-11", "bytes=5-6,10-11"),
        ("bytes=0-99,50-149,150-199", "bytes=0-199"),
    ],
)
def test_of_several_ranges_those_within_the_video_are_sent(client, wanted, same_as):
    found = client.get("/ours", headers={"Range": wanted})
    expected = client.get("/starlette", headers={"Range": same_as})
    assert expected.status_code == 206
    # One range after merging is no list any more.
    assert told(found) == told(expected)


def test_several_ranges_can_be_read_by_what_reads_mail(client):
    answer = client.get("/ours", headers={"Range": "bytes=100-199,0-9,-7"})
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts: Any = email.message_from_bytes(head + answer.content).get_payload()
    ranges = [range(10), range(100, 200), range(SIZE - 7, SIZE)]
    assert [part["content-range"] for part in parts] == [
        f"bytes {wanted.start}-{wanted.stop - 1}/{SIZE}" for wanted in ranges
    ]
    assert [part.get_payload(decode=True) for part in parts] == [CONTENT[r.start : r.stop] for r in ranges]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("wanted", [{}, {"Range": "bytes=0-9"}, {"Range": "bytes=99999999-"}])
def test_a_client_that_has_this_video_gets_no_other_copy(client, method, wanted):
    whole = client.head("/ours").headers
    for condition in (
        {"If-None-Match": f'"old", W/{whole["etag"]}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": whole["last-modified"]},
    ):
        answer = client.request(method, "/ours", headers={**wanted, **condition})
        assert (answer.status_code, answer.content) == (304, b"")
        assert dict(answer.headers) == {name: whole[name] for name in ("etag", "last-modified")}


def test_a_client_that_has_another_video_gets_this_one(client):
    condition = {"If-None-Match": '"another"', "If-Modified-Since": "Fri, 31 Dec 9999 23:59:59 GMT"}
    assert told(client.get("/ours", headers=condition)) == told(client.get("/starlette"))
    part = client.get("/ours", headers={**condition, "Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, CONTENT[:10])


@pytest.mark.parametrize("condition", ["etag", "last-modified", '"another"', 'W/"weak"', ""])
def test_a_range_of_another_video_is_all_of_this_one(client, condition):
    condition = client.head("/starlette").headers.get(condition, condition)
    headers = {"Range": "bytes=1-2", "If-Range": condition}
    assert told(client.get("/ours", headers=headers)) == told(client.get("/starlette", headers=headers))


def test_a_range_with_endless_digits_is_none(client):
    assert client.get("/ours", headers={"Range": "bytes=" + "9" * 5000 + "-"}).status_code == 400


@pytest.mark.timeout(10)
@pytest.mark.parametrize("blanks", [f"{' ' * 20_000}-{' ' * 20_000}x", f"{' ' * 40_000}x"])
def test_thousands_of_blanks_are_no_range_and_hold_nobody_up(client, blanks):
    assert client.get("/ours", headers={"Range": f"bytes={blanks}"}).status_code == 400


def test_a_range_may_end_far_beyond_the_end(client):
    assert client.get("/ours", headers={"Range": f"bytes=0-{2**64 - 1}"}).status_code == 206
