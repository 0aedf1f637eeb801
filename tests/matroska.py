"""Matroska files with any times: what recorders, calls and attackers write, and ffmpeg would put right."""

import struct
from collections.abc import Iterable, Sequence

RATE = 16_000
PACKET_MS = 20
PACKET_BYTES = RATE * PACKET_MS // 1000 * 2


def element(name: str, content: bytes) -> bytes:
    """One element of EBML, its id in hexadecimal."""
    return bytes.fromhex(name) + b"\x01" + len(content).to_bytes(7, "big") + content


def number(name: str, value: int, size: int = 8) -> bytes:
    return element(name, value.to_bytes(size, "big"))


def track(index: int, *, default: bool = True, rate: int = RATE) -> bytes:
    """A track of 16 bit mono samples, from 1."""
    audio = element("e1", element("b5", struct.pack(">d", rate)) + number("9f", 1) + number("6264", 16))
    entry = [number("d7", index), number("73c5", index), number("83", 2), number("88", default)]
    return element("ae", b"".join([*entry, element("86", b"A_PCM/INT/LIT"), audio]))


def block(at_ms: int, samples: bytes, index: int = 1) -> bytes:
    """A packet in a cluster of its own; a negative time, from -2¹⁵, is one relative to 0."""
    relative = min(at_ms, 0)
    inside = bytes([0x80 | index]) + struct.pack(">hB", relative, 0x80) + samples
    return element("1f43b675", number("e7", max(at_ms, 0)) + element("a3", inside))


def matroska(blocks: Iterable[bytes], tracks: Sequence[bytes] = (track(1),)) -> bytes:
    """A live file: it says nothing of how long it is."""
    head = element("1a45dfa3", element("4282", b"matroska") + number("4287", 4, 1) + number("4285", 2, 1))
    segment = bytes.fromhex("18538067") + b"\x01" + b"\xff" * 7
    return b"".join([head, segment, element("1654ae6b", b"".join(tracks)), *blocks])


def packets(samples: bytes) -> list[bytes]:
    """Samples in packets of `PACKET_MS`."""
    return [samples[start : start + PACKET_BYTES] for start in range(0, len(samples), PACKET_BYTES)]


def timed(samples: bytes, times: Iterable[int]) -> bytes:
    """A file of packets at these times, in milliseconds."""
    return matroska(block(at, packet) for at, packet in zip(times, packets(samples), strict=False))
