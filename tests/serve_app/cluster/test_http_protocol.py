"""A web server that ignores offers to switch to another protocol, asked through plain sockets."""

import asyncio
import socket
import threading
import time
from contextlib import suppress

import pytest
import uvicorn

from serve_app.cluster.http_protocol import UpgradeIgnoringProtocol
from tests.service import poll

# What clients send: Java's HttpClient, Spring, Ktor and curl the first, printers and old clients the second.
OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAA\r\n",
    "TLS": b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
    "WebSocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "several": b"UPGRADE: websocket, h2c/1\r\nCONNECTION: keep-alive, upgrade\r\n",
    "twice": b"Upgrade: h2c\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    "no wish": b"Upgrade: h2c\r\n",
}
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def port():
    """Where a server listens that answers with method, path and size of what it was sent."""

    async def echo(scope, receive, send):
        size, more = 0, scope["path"] != "/early"
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        text = f"{scope['type']} {scope['method']} {scope['path']} {size}".encode()
        headers = [(b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    config = uvicorn.Config(echo, http=UpgradeIgnoringProtocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
        thread.start()
        poll(lambda: server.started)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.fixture
def connection(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def request(offer, body=b"hello", path=b"/task"):
    head = b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (path, offer, len(body))
    return head + body


def answers(connection, count):
    """The bodies of so many answers, or their status where it is not 200."""
    with connection.makefile("rb") as stream:
        return [answer(stream) for _ in range(count)]


def answer(stream):
    status = stream.readline().decode().split(" ")[1]
    headers = dict(line.decode().lower().strip().split(": ", 1) for line in iter(stream.readline, b"\r\n"))
    body = stream.read(int(headers.get("content-length", 0))).decode()
    return body if status == "200" else status


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
class TestAnOffer:
    def test_loses_no_body_and_the_connection_serves_the_next_request(self, connection, offer):
        connection.sendall(request(offer) + NEXT)
        assert answers(connection, 2) == ["http POST /task 5", "http GET /next 0"]

    def test_may_come_in_pieces(self, connection, offer):
        for byte in request(offer):
            connection.sendall(bytes([byte]))
        assert answers(connection, 1) == ["http POST /task 5"]
        connection.sendall(NEXT)
        assert answers(connection, 1) == ["http GET /next 0"]

    def test_may_have_a_large_body_that_follows_later(self, connection, offer):
        whole = request(offer, bytes(3_000_000))
        end = whole.index(b"\r\n\r\n") + 4
        connection.sendall(whole[:end])
        time.sleep(0.05)
        connection.sendall(whole[end:] + NEXT)
        assert answers(connection, 2) == ["http POST /task 3000000", "http GET /next 0"]

    def test_may_have_a_chunked_body(self, connection, offer):
        head = b"POST /task HTTP/1.1\r\nHost: x\r\n%sTransfer-Encoding: chunked\r\n\r\n" % offer
        connection.sendall(head + b"5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n" + NEXT)
        assert answers(connection, 2) == ["http POST /task 8", "http GET /next 0"]

    def test_may_expect_to_be_told_to_go_on(self, connection, offer):
        head = (
            b"POST /task HTTP/1.1\r\nHost: x\r\n%sExpect: 100-continue\r\nContent-Length: 5\r\n\r\n" % offer
        )
        connection.sendall(head)
        assert answers(connection, 1) == ["100"]
        connection.sendall(b"hello" + NEXT)
        assert answers(connection, 2) == ["http POST /task 5", "http GET /next 0"]

    def test_may_come_without_a_body(self, connection, offer):
        connection.sendall(b"GET /page?x=1 HTTP/1.1\r\nHost: x\r\n%s\r\n" % offer + NEXT)
        assert answers(connection, 2) == ["http GET /page 0", "http GET /next 0"]

    def test_may_be_answered_before_its_body_is_read(self, connection, offer):
        connection.sendall(request(offer, bytes(300_000), b"/early") + NEXT)
        assert answers(connection, 2) == ["http POST /early 0", "http GET /next 0"]

    def test_may_come_again_and_again(self, connection, offer):
        connection.sendall(request(offer) * 50)
        assert answers(connection, 50) == ["http POST /task 5"] * 50


@pytest.mark.parametrize(
    "head",
    [
        b"POST /task HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n",
        b"POST /task HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n",
    ],
)
def test_a_connection_that_ends_after_the_answer_still_does(connection, head):
    connection.sendall(head + b"Content-Length: 5\r\n\r\nhello")
    assert answers(connection, 1) == ["http POST /task 5"]
    assert connection.recv(1) == b""


def test_a_request_without_an_offer_is_answered_as_ever(connection):
    connection.sendall(request(b"") + NEXT)
    assert answers(connection, 2) == ["http POST /task 5", "http GET /next 0"]


@pytest.mark.parametrize(
    "bad",
    [
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\r\n\r\n",
        b"POST /task HTTP/1.1\r\n%sContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" % OFFERS["h2c"],
        b"POST /task HTTP/1.1\r\n%sContent-Length: five\r\n\r\n" % OFFERS["h2c"],
        request(OFFERS["h2c"]) + b"nonsense\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_ends_the_connection(connection, bad):
    connection.sendall(bad)
    received = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(65536):
            received += data
    assert received.count(b"HTTP/1.1 400 Bad Request\r\n") == 1
