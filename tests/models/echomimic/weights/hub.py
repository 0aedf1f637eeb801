"""A hub on loopback: as much of the Hugging Face Hub's protocol as a download needs."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

REPOSITORY = "BadToBest/EchoMimic"
LARGE = 1000  # bytes; from here on files are kept outside git, and requests are sent elsewhere for them


@dataclass
class Hub:
    """What it holds and what it was asked.

    Attributes:
        commits: content of every file by commit.
        main: the newest commit.
        cuts: after how many bytes the answers to come break off, one after the other.
        down: answer 503 instead of content.
        sizes: sizes it claims instead of the true ones.
        spoilt: files whose content is not what their hash says.
        asked: path and Range header of every request for content.
    """

    commits: dict[str, dict[str, bytes]]
    main: str
    url: str = ""
    cuts: list[int] = field(default_factory=list)
    down: bool = False
    sizes: dict[str, int] = field(default_factory=dict)
    spoilt: set[str] = field(default_factory=set)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def info(self, revision: str) -> dict[str, object]:
        commit = self.main if revision == "main" else revision
        files = [self._sibling(path, content) for path, content in self.commits[commit].items()]
        return {"id": REPOSITORY, "sha": commit, "siblings": files}

    def _sibling(self, path: str, content: bytes) -> dict[str, object]:
        size = self.sizes.get(path, len(content))
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        sibling: dict[str, object] = {"rfilename": path, "size": size, "blobId": blob}
        if len(content) >= LARGE:
            digest = hashlib.sha256(content).hexdigest()
            sibling |= {"blobId": "0" * 40, "lfs": {"sha256": digest, "size": size, "pointerSize": 134}}
        return sibling

    def content(self, commit: str, path: str) -> bytes:
        content = self.commits[commit][path]
        return content[:-1] + b"!" if path in self.spoilt else content


@contextmanager
def serve(hub: Hub) -> Iterator[None]:
    """Answer on `hub.url` while the context lasts."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if found := re.fullmatch(rf"/api/models/{REPOSITORY}/revision/(\w+)", path):
            self._answer(
                200, json.dumps(self.hub.info(found[1])).encode(), {"Content-Type": "application/json"}
            )
        elif found := re.fullmatch(rf"/{REPOSITORY}/resolve/(\w+)/(.+)", path):
            self._resolve(found[1], found[2])
        elif found := re.fullmatch(r"/elsewhere/(\w+)/(.+)", path):
            self._send(found[1], found[2])
        else:
            self._answer(404, b"", {})

    def _resolve(self, commit: str, path: str) -> None:
        content = self.hub.content(commit, path)
        if len(content) < LARGE:
            self._send(commit, path)
            return
        self._answer(
            302,
            b"",
            {
                "Location": f"{self.hub.url}/elsewhere/{commit}/{path}",
                "X-Repo-Commit": commit,
                "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Linked-Size": str(len(content)),
            },
        )

    def _send(self, commit: str, path: str) -> None:
        self.hub.asked.append((path, self.headers["Range"]))
        if self.hub.down:
            self._answer(503, b"", {})
            return
        content = self.hub.content(commit, path)
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": commit}
        start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if self.headers["Range"] else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._answer(206 if start else 200, content[start:], headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body and status < 300 and "ETag" in headers and self.hub.cuts:
            body = body[: self.hub.cuts.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_message: object) -> None:
        pass
