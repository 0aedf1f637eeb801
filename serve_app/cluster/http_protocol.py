"""HTTP/1.1 in Serve's proxy, with offers to switch to another protocol ignored. Knows nothing of Serve."""

from typing import Any

import httptools
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def ignore_upgrades() -> None:
    """Make the web servers that this process starts from now on ignore `Upgrade` headers.

    Serve starts uvicorn without saying which of its protocols to use, and has no setting for it.
    """
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{UpgradeIgnoringProtocol.__name__}"


class UpgradeIgnoringProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, but a request is answered as if it had no `Upgrade` header (RFC 9110, 7.8).

    Many clients offer HTTP/2 with their first request. httptools parses only the head of such a request and
    takes its body for the next request, and uvicorn would wait for a WebSocket's handshake. Here, the head is
    parsed a second time without the offer, and its body after it.
    """

    parser: "_Parser"

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self._start_parser()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived: asyncio's interface."""
        super().data_received(data)
        while self._offered:
            data = self._head_without_offer() + data[self.parser.end_of_offer :]
            # The old one would heed `Connection: close` and parse nothing more.
            self._start_parser()
            super().data_received(data)

    def on_headers_complete(self) -> None:
        """Start to answer, unless there was an offer: called by httptools after the head of a request."""
        # CONNECT asks for a tunnel in any case, and is refused like other bad requests.
        self._offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._offered:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Called by httptools at the end of a request, and right after the head of one with an offer."""
        if not self._offered:
            super().on_message_complete()

    def _start_parser(self) -> None:
        self._offered = False
        self.parser = _Parser(self)
        # As uvicorn does with its own.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])


class _Parser(httptools.HttpRequestParser):
    """Stops after an offer, and remembers where in the data it ended."""

    end_of_offer = 0

    def feed_data(self, data: Any) -> None:
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self.end_of_offer = offer.args[0]
