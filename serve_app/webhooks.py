"""Tells another server that a task has ended: signed, and only where anybody may call.

The form is that of Standard Webhooks (standardwebhooks.com), for which many languages have a verifier.
Knows nothing of tasks or of when to try again.
"""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

import httpx

from serve_app import private_file
from serve_app.errors import InvalidRequest

MAX_URL_LENGTH = 2000
TIMEOUT_S = 10.0

_SECRET_PREFIX = b"whsec_"
_SECRET_BYTES = 32  # Standard Webhooks wants 24 to 64
_ALLOWED = "an http or https URL of a public address, without user name or password"

# Addresses that carry another one, which may be private: RFC 6052 (NAT64).
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class WebhookFailed(Exception):
    """The receiver did not take the message; the text says why."""


@dataclass(frozen=True)
class Target:
    """A URL, and the one address its name was resolved to: a second look could give another."""

    url: httpx.URL
    address: Address

    @property
    def pinned_url(self) -> httpx.URL:
        """The URL with the address in place of the name."""
        return self.url.copy_with(host=str(self.address))


async def resolve(url: str, *, allow_private: bool) -> Target:
    """Look where a URL leads.

    Args:
        url: http or https.
        allow_private: accept addresses of this machine and of private networks.

    Raises:
        InvalidRequest: it is no such URL, its name has no address, or one of its addresses is not public.
    """
    parsed = _parse(url)
    addresses = await _addresses(parsed)
    closed = [address for address in addresses if not is_public(address)]
    if closed and not allow_private:
        raise _refused(f"{parsed.host!r} leads to {closed[0]}, which is not a public address")
    return Target(parsed, addresses[0])


def is_public(address: Address) -> bool:
    """Whether an address belongs to the internet, also when it stands inside another one."""
    if isinstance(address, ipaddress.IPv6Address):
        carried = address.ipv4_mapped or address.sixtofour
        if carried is not None:
            return is_public(carried)
        if address.teredo is not None or address in _NAT64:
            return False
    return address.is_global and not address.is_multicast


async def deliver(
    url: str, message_id: str, body: bytes, timestamp: int, secret: bytes, *, allow_private: bool
) -> None:
    """Send one message. A redirect is not followed: it is a refusal.

    Args:
        url: see `resolve`.
        message_id: the same for every attempt at this message, so that the receiver can tell a repetition.
        body: JSON.
        timestamp: seconds since the epoch.
        secret: what it is signed with.
        allow_private: see `resolve`.

    Raises:
        WebhookFailed: the answer was none of 2xx, or there was none.
    """
    try:
        target = await resolve(url, allow_private=allow_private)
        status_code = await _post(
            target,
            body,
            {
                "content-type": "application/json",
                "webhook-id": message_id,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": sign(secret, message_id, timestamp, body),
            },
        )
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
    """What messages are signed with; made, and written for the receivers, where there is none yet."""
    random = base64.b64encode(secrets.token_bytes(_SECRET_BYTES))
    written = private_file.create(path, _SECRET_PREFIX + random + b"\n")
    return base64.b64decode(written.strip().removeprefix(_SECRET_PREFIX))


async def _post(target: Target, body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer; what it holds is not read."""
    host = target.url.netloc.decode()
    # No proxy of the environment: it would resolve the name anew.
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
        request = client.build_request(
            "POST",
            target.pinned_url,
            content=body,
            headers={"host": host, **headers},
            extensions={"sni_hostname": target.url.host},
        )
        response = await client.send(request, stream=True)
        await response.aclose()
        return response.status_code


def _parse(url: str) -> httpx.URL:
    if len(url) > MAX_URL_LENGTH:
        raise _refused(f"the URL has {len(url)} characters, at most {MAX_URL_LENGTH} are allowed")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise _refused(f"{url!r:.100} is not a URL: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        raise _refused(f"{url!r:.100} is not {_ALLOWED}")
    return parsed


async def _addresses(url: httpx.URL) -> list[Address]:
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _refused(f"{url.host!r:.100} has no address") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(f"webhook_url: {message}", field="webhook_url", allowed=_ALLOWED)
