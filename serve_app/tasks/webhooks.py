"""Notifies another server that a task has ended: signed, and at public addresses only.

The form is that of Standard Webhooks (standardwebhooks.com), for which many languages have a verifier.
Knows nothing of tasks or of retries.
"""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from serve_app.errors import InvalidRequest
from serve_app.storage import private_file

MAX_URL_LENGTH = 2000

# For a whole delivery: a receiver that answers byte by byte would never exceed a limit between two bytes.
TIMEOUT_S = 10.0

_MAX_PORT = 65_535

_SECRET_PREFIX = b"whsec_"
_SECRET_BYTES = 32  # Standard Webhooks wants 24 to 64
_ALLOWED = "an http or https URL of a public address, without user name or password"

# The only part of IPv6 from which public addresses have been assigned (RFC 4291, 2.4). The rest has special
# meanings, of which Python knows only some: local networks, and IPv4 addresses embedded in half a dozen ways.
_IPV6_INTERNET = ipaddress.ip_network("2000::/3")

# A name server may take half a minute to respond, and a thread that waits for it cannot be stopped: it must
# not be one of the few that the event loop has for everything else.
_LOOKUPS = ThreadPoolExecutor(64, thread_name_prefix="webhook-lookup")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class WebhookFailed(Exception):
    """The receiver did not accept the message; the text says why."""


@dataclass(frozen=True)
class Target:
    """A URL and the address that its host name was resolved to: a second look-up could give another."""

    url: httpx.URL
    address: Address

    @property
    def pinned_url(self) -> httpx.URL:
        """The URL with the address in place of the name."""
        return self.url.copy_with(host=str(self.address))

    @property
    def name(self) -> str:
        """The host name in ASCII, as name servers and certificates have it."""
        return _ascii_host(self.url)


async def resolve(url: str, *, allow_private: bool) -> Target:
    """Resolve the host name of a URL.

    Args:
        url: http or https.
        allow_private: accept addresses of this machine and of private networks.

    Raises:
        InvalidRequest: it is not such a URL, its name has no address, or one of its addresses is not public.
    """
    parsed = _parse(url)
    addresses = await _addresses(parsed)
    closed = [address for address in addresses if not is_public(address)]
    if closed and not allow_private:
        raise _refused(f"{parsed.host!r} resolves to {closed[0]}, which is not a public address")
    return Target(parsed, addresses[0])


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, and embeds no other one, which might not."""
    if isinstance(address, ipaddress.IPv6Address) and not _is_plain_ipv6(address):
        return False
    return address.is_global and not address.is_multicast


async def deliver(
    url: str, message_id: str, body: bytes, timestamp: int, secret: bytes, *, allow_private: bool
) -> None:
    """Send one message. A redirect is not followed, and counts as a failure.

    Args:
        url: see `resolve`.
        message_id: the same for every attempt at this message, so that the receiver can recognise repeats.
        body: JSON.
        timestamp: seconds since the epoch.
        secret: what it is signed with.
        allow_private: see `resolve`.

    Raises:
        WebhookFailed: the status was not 2xx, or there was no answer within `TIMEOUT_S`.
    """
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, message_id, timestamp, body),
    }
    try:
        status_code = await asyncio.wait_for(_post(url, body, headers, allow_private), TIMEOUT_S)
    except asyncio.TimeoutError as error:
        raise WebhookFailed(f"it took longer than {TIMEOUT_S:g} s") from error
    except (InvalidRequest, httpx.HTTPError) as error:
        raise WebhookFailed(str(error) or type(error).__name__) from error
    if not 200 <= status_code < 300:
        raise WebhookFailed(f"it answered {status_code}")


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of Standard Webhooks, version 1."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def load_secret(path: Path) -> bytes:
    """The secret that messages are signed with; created in this file, for receivers to copy, if missing."""
    random = base64.b64encode(secrets.token_bytes(_SECRET_BYTES))
    written = private_file.create(path, _SECRET_PREFIX + random + b"\n")
    return base64.b64decode(written.strip().removeprefix(_SECRET_PREFIX))


async def _post(url: str, body: bytes, headers: dict[str, str], allow_private: bool) -> int:
    """The status of the answer; its body is not read."""
    target = await resolve(url, allow_private=allow_private)
    # Ignores proxies named in the environment: they would resolve the name again.
    async with httpx.AsyncClient(timeout=None, trust_env=False, follow_redirects=False) as client:
        request = client.build_request(
            "POST",
            target.pinned_url,
            content=body,
            headers={"host": target.url.netloc.decode(), **headers},
            extensions={"sni_hostname": target.name},
        )
        response = await client.send(request, stream=True)
        await response.aclose()
        return response.status_code


def _parse(url: str) -> httpx.URL:
    if len(url) > MAX_URL_LENGTH:
        raise _refused(f"the URL has {len(url)} characters, at most {MAX_URL_LENGTH} are allowed")
    try:
        parsed = httpx.URL(url)
        host = parsed.host  # fails if "xn--…" encodes something that is not allowed in a name
    except (httpx.InvalidURL, UnicodeError) as error:
        raise _refused(f"{url!r:.100} is not a URL: {error}") from error
    if parsed.scheme not in ("http", "https") or not host or parsed.userinfo:
        raise _refused(f"{url!r:.100} is not {_ALLOWED}")
    if parsed.port is not None and not 1 <= parsed.port <= _MAX_PORT:
        raise _refused(f"the port is {parsed.port}, but must be from 1 to {_MAX_PORT}")
    return parsed


async def _addresses(url: httpx.URL) -> list[Address]:
    port = url.port or (443 if url.scheme == "https" else 80)
    look_up = partial(socket.getaddrinfo, _ascii_host(url), port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, look_up)
    except (OSError, UnicodeError) as error:
        raise _refused(f"{url.host!r:.100} has no address") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _ascii_host(url: httpx.URL) -> str:
    # Not `url.host`: Python would encode that again, by older rules that give another name ("ß" to "ss").
    return url.raw_host.decode("ascii")


def _is_plain_ipv6(address: ipaddress.IPv6Address) -> bool:
    embeds_ipv4 = address.sixtofour is not None or address.teredo is not None
    return address in _IPV6_INTERNET and not embeds_ipv4


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(f"webhook_url: {message}", field="webhook_url", allowed=_ALLOWED)
