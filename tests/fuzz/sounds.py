"""Hostile sounds: lists that name other files, lies, ruins, bombs, and honest ones that merely look odd."""

import random
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from tests.fuzz.hostile import Expected, HostileFile, cut, flipped
from tests.fuzz.images import MEGABYTE, chunk, png, portrait, saved, zeros
from tests.matroska import timed
from tests.service import ROOT

REFUSED, UNFIT, USED, ANY = Expected.REFUSED, Expected.UNFIT, Expected.USED, Expected.ANY

SPEECH = ROOT / "examples" / "hello.wav"
RATE = 16_000
# How ffmpeg makes each from the example: one second.
FORMATS = {
    "clip.mp3": ["-c:a", "libmp3lame"],
    "clip.m4a": ["-c:a", "aac"],
    "clip.aac": ["-c:a", "aac"],
    "clip.ogg": ["-c:a", "libvorbis", "-ac", "2"],
    "clip.opus.ogg": ["-c:a", "libopus"],
    "clip.flac": ["-c:a", "flac"],
    "clip.webm": ["-c:a", "libopus"],
    "clip.wav": ["-c:a", "pcm_s16le"],
}
# Sound that the service does not take, because what reads it reads more than sound.
OTHER_FORMATS = ("clip.avi", "clip.ts", "clip.asf", "clip.au", "clip.voc", "clip.flv", "clip.w64", "clip.nut")

Case = tuple[str, bytes, Expected]
Kind = Callable[[], Iterator[Case]]


def hostile_sounds() -> Iterator[HostileFile]:
    """All of them, and some that are merely called something odd."""
    yield from hostile_sounds_of(*KINDS)
    for file_name in (
        "speech.png",
        "speech.m3u8",
        "%03d.wav",
        "concat:a|b",
        "-version",
        "http://127.0.0.1/x",
        "",
    ):
        name = f"mislabelled: a WAV called {file_name or 'nothing'}"
        yield HostileFile(name, "audio_file", made("clip.wav"), USED, file_name or "upload")
    endless = "s" * 65_536 + ".wav"
    yield HostileFile("named: 64 KB", "audio_file", made("clip.wav"), REFUSED, endless)
    for name, file_name in _NAMES.items():
        yield HostileFile(f"named: {name}", "audio_file", made("clip.wav"), USED, file_name)


def hostile_sounds_of(*kinds: Kind) -> Iterator[HostileFile]:
    """Those of some kinds."""
    for kind in kinds:
        for name, content, expected in kind():
            yield HostileFile(f"{kind.__name__}: {name}", "audio_file", content, expected)


_NAMES = {
    "a way out of the folder": "../../../../tmp/escaped.wav",
    "a way out of a Windows folder": "..\\..\\escaped.wav",
    "an absolute path": "/etc/passwd",
    "a device": "CON.wav",
    "from right to left": "speech\u202evaw.exe",
    "a shell command": "$(touch escaped);`touch escaped`.wav",
    "a quote": "a\"b'c.wav",
    "a NUL": "speech\0.wav",
    "4 KB": "s" * 4096 + ".wav",
    "Chinese": "语音.wav",
}


def made(name: str, *how: object, source: tuple[object, ...] = ("-i", SPEECH, "-t", 1)) -> bytes:
    """A sound that ffmpeg makes, by default a second of the example, in the format of the name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        exact = ["-fflags", "+bitexact", "-flags:a", "+bitexact", "-map_metadata", "-1"]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *source, *exact]
        subprocess.run([*map(str, command), *map(str, how or FORMATS.get(name, ())), str(path)], check=True)
        return path.read_bytes()


def tone(dtype: str = "<i2", count: int = RATE) -> np.ndarray:
    """A second of a tone, integers at a third of their range, floats of a third."""
    full = np.iinfo(dtype).max if np.dtype(dtype).kind == "i" else 1.0
    return (np.sin(np.arange(count) / 10) * full / 3).astype(dtype)


def wav(
    samples: bytes | None = None,
    *,
    tag: int = 1,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    block: int | None = None,
    data_size: int | None = None,
    riff_size: int | None = None,
    before: bytes = b"",
) -> bytes:
    """A WAV whose header says this, whatever it holds."""
    samples = tone().tobytes() if samples is None else samples
    block = max(channels * bits // 8, 1) & 0xFFFF if block is None else block
    header = struct.pack("<HHIIHH", tag, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    data_size = len(samples) if data_size is None else data_size
    chunks = b"WAVE" + before + b"fmt \x10\0\0\0" + header + b"data" + struct.pack("<I", data_size) + samples
    riff_size = len(chunks) if riff_size is None else riff_size
    return b"RIFF" + struct.pack("<I", riff_size) + chunks


def no_sounds() -> Iterator[Case]:
    yield "empty", b"", REFUSED
    yield "one byte", b"R", REFUSED
    yield "text", b"this is not audio", REFUSED
    yield "zeros", bytes(10_000), REFUSED
    yield "noise", np.random.default_rng(0).bytes(10_000), ANY
    yield "an image", saved("PNG"), REFUSED
    yield "a script", b"#!/bin/sh\nid\n", REFUSED
    yield (
        "a video without sound",
        made("silent.mp4", "-c:v", "libx264", source=("-f", "lavfi", "-i", "testsrc=d=1:s=64x64:r=5")),
        REFUSED,
    )
    for name in OTHER_FORMATS:
        yield name.removeprefix("clip."), made(name), REFUSED
    for name in FORMATS:
        yield f"the first 12 bytes of {name}", made(name)[:12], REFUSED


def playlists() -> Iterator[Case]:
    """Lists of other files, some of them with sound; none is opened, no address is called."""
    for target in (f"file://{SPEECH}", str(SPEECH), "http://127.0.0.1:9/x.wav", "/etc/passwd", "concat:a|b"):
        lists = {
            "HLS": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
            "ffconcat": f"ffconcat version 1.0\nfile '{target}'\n",
            "DASH": f"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static'>"
            f"<Period><AdaptationSet><Representation><BaseURL>{target}</BaseURL></Representation>"
            "</AdaptationSet></Period></MPD>",
        }
        for kind, text in lists.items():
            yield f"{kind} of {target.removeprefix(str(ROOT))}", text.encode(), REFUSED
    yield "HLS behind a WAV header", wav(b"#EXTM3U\n#EXTINF:9,\n/etc/passwd\n"), UNFIT
    yield "SDP", b"v=0\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n", REFUSED
    yield "PLS", b"[playlist]\nFile1=http://127.0.0.1:9/x\nNumberOfEntries=1\n", REFUSED
    yield "ASX", b"<asx><entry><ref href='http://127.0.0.1:9/x'/></entry></asx>", REFUSED
    yield "subtitles", b"1\n00:00:00,000 --> 00:00:09,000\nhello\n", REFUSED
    yield "a data URL", b"data:audio/wav;base64,UklGRg==", REFUSED
    yield "ffmetadata", b";FFMETADATA1\ntitle=x\n", REFUSED
    yield "a cue sheet", b'FILE "/etc/passwd" BINARY\n  TRACK 01 AUDIO\n', REFUSED


def ruins() -> Iterator[Case]:
    for name in FORMATS:
        whole = made(name)
        for how, content in cut(whole, 0.1, 0.5, 0.9):
            yield f"{name} {how}", content, ANY
        for seed in range(4):
            yield f"{name} with changed bytes, {seed}", flipped(whole, seed), ANY


def wavs() -> Iterator[Case]:
    """Headers that are not so."""
    yield "data of 4 GB", wav(data_size=2**32 - 1, riff_size=2**32 - 1), USED
    yield "data of 10 hours", wav(data_size=10 * 3600 * RATE * 2), USED
    yield "data of nothing", wav(data_size=0), ANY
    yield "an odd number of bytes", wav(tone().tobytes() + b"x"), USED
    yield "a length of nothing", wav(riff_size=0), USED
    for rate in (0, 1, 7, 4_000, 192_000, 768_000, 2**31 - 1, 2**32 - 1):
        yield f"{rate} samples a second", wav(rate=rate), ANY
    for channels in (0, 3, 8, 64, 255, 1024, 65_535):
        yield f"{channels} channels", wav(channels=channels), ANY
    for bits in (0, 1, 7, 8, 12, 24, 33, 64, 65_535):
        yield f"{bits} bits a sample", wav(bits=bits), ANY
    for tag in (0, 2, 6, 7, 17, 49, 80, 85, 255, 0x161, 0xFFFE, 0xDEAD):
        yield f"format {tag:#x}", wav(tag=tag), ANY
    yield "blocks of nothing", wav(block=0), ANY
    yield "blocks of 64 KB", wav(block=65_535), ANY
    yield "a chunk of 2 GB in front", wav(before=b"JUNK" + struct.pack("<I", 2**31 - 1)), REFUSED
    yield "a hundred thousand chunks in front", wav(before=b"JUNK\0\0\0\0" * 100_000), ANY
    yield "no format", b"RIFF\x10\0\0\0WAVEdata\x04\0\0\0abcd", REFUSED
    yield "a format of 4 GB", b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff" + bytes(40), REFUSED
    yield "one header after the other", wav(wav()), USED
    yield (
        "64 bit sizes that lie",
        b"RF64" + b"\xff" * 4 + b"WAVEds64\x1c\0\0\0" + b"\xff" * 24 + bytes(4),
        REFUSED,
    )


def samples() -> Iterator[Case]:
    """Numbers that are none."""
    for name, value in (("not a number", np.nan), ("infinity", np.inf), ("1e38", 1e38), ("denormal", 1e-42)):
        for dtype, bits in (("<f4", 32), ("<f8", 64)):
            samples = tone(dtype)
            samples[::100] = value
            yield f"{name} here and there, {bits} bits", wav(samples.tobytes(), tag=3, bits=bits), USED
            samples[:] = value
            yield f"{name} throughout, {bits} bits", wav(samples.tobytes(), tag=3, bits=bits), USED
    yield "as loud as can be", wav((np.sign(tone()) * 32_767).astype("<i2").tobytes()), USED
    yield "silence", wav(bytes(2 * RATE)), USED
    yield "no sample", wav(b""), REFUSED
    yield "one sample", wav(b"\1\0"), UNFIT
    yield "as many samples as one frame lasts", wav(tone(count=RATE // 24).tobytes()), UNFIT
    yield "a thousand samples", wav(tone(count=1000).tobytes()), USED
    yield "sixteen channels", wav(np.repeat(tone(), 16).tobytes(), channels=16), USED


def _id3(frames: bytes, says: int | None = None) -> bytes:
    size = len(frames) if says is None else says
    return b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + frames


def _id3_frame(kind: bytes, data: bytes) -> bytes:
    return kind + bytes(len(data) >> shift & 0x7F for shift in (21, 14, 7, 0)) + b"\0\0" + data


def mp3s() -> Iterator[Case]:
    sound = made("clip.mp3")
    picture = b"\0image/png\0\3\0"
    yield "a cover of 5 MB", _id3(_id3_frame(b"APIC", picture + bytes(5 * MEGABYTE))) + sound, USED
    yield "a cover of 4 gigapixels", _id3(_id3_frame(b"APIC", picture + png(60_000, 60_000))) + sound, USED
    bomb = png(8000, 8000, chunk(b"IDAT", zeros(8000 * 24_001)))
    yield "a cover that decodes to 192 MB", _id3(_id3_frame(b"APIC", picture + bomb)) + sound, USED
    yield (
        "a cover that is a portrait",
        _id3(_id3_frame(b"APIC", picture + saved("PNG", portrait()))) + sound,
        USED,
    )
    yield "tags of 256 MB that end early", _id3(b"", says=2**28 - 1) + sound, ANY
    yield "ten thousand tags", _id3(_id3_frame(b"TXXX", b"\3a\0b") * 10_000) + sound, USED
    yield "tags in tags", _id3(b"") * 10_000 + sound, ANY
    yield "a thousand chapters", _id3(_id3_frame(b"CHAP", b"a\0" + bytes(16)) * 1000) + sound, USED
    yield "frames without a rate", b"\xff\xfb\x9c\0" * 5000, REFUSED
    yield "frames of a free rate", (b"\xff\xfb\x00\0" + bytes(413)) * 50, ANY
    says_ten_hours = bytearray(sound)
    start = says_ten_hours.find(b"Info")
    says_ten_hours[start + 8 : start + 12] = struct.pack(">I", 10 * 3600 * 38)
    yield "a header that says ten hours", bytes(says_ten_hours), USED


def _box(kind: bytes, content: bytes, size: int | None = None) -> bytes:
    return struct.pack(">I", len(content) + 8 if size is None else size) + kind + content


def mp4s() -> Iterator[Case]:
    whole = made("clip.m4a")
    nested = b""
    for _ in range(10_000):
        nested = _box(b"moov", nested)
    start = _box(b"ftyp", b"M4A \0\0\0\0")
    yield "boxes ten thousand deep", start + nested, REFUSED
    yield "a hundred thousand empty boxes", start + _box(b"free", b"") * 100_000 + whole[len(start) :], ANY
    yield "a box of no size", start + _box(b"moov", b"", 0), REFUSED
    yield "a box smaller than its head", start + _box(b"moov", b"", 4), REFUSED
    yield "a box of 4 EB", start + struct.pack(">I4sQ", 1, b"moov", 2**62), REFUSED
    yield "no time scale", _patched(whole, b"mdhd", 12, bytes(4)), ANY
    for table in (b"stsz", b"stco", b"stts", b"stsc"):
        yield (
            f"4 billion entries in {table.decode()}",
            _patched(whole, table, 8 if table == b"stsz" else 4, b"\xff" * 4),
            ANY,
        )
    yield "sound that lies in another file", whole.replace(b"url \0\0\0\1", b"url \0\0\0\0"), ANY
    yield "sound beyond its end", _patched(whole, b"stco", 8, b"\xff\xff\xff\xf0"), ANY


def _patched(whole: bytes, kind: bytes, offset: int, value: bytes) -> bytes:
    """The same with these bytes behind the name of a box."""
    place = whole.index(kind) + 4 + offset
    return whole[:place] + value + whole[place + len(value) :]


def flacs() -> Iterator[Case]:
    whole = bytearray(made("clip.flac"))
    for name, total in (("nothing", 0), ("a month", 2**36 - 1)):
        content = bytearray(whole)
        kept = content[21] & 0xF0
        content[21:26] = bytes([kept | total >> 32]) + struct.pack(">I", total & 0xFFFFFFFF)
        yield f"says it lasts {name}", bytes(content), USED
    picture = struct.pack(">III", 3, 2**31, 2**31) + bytes(20)
    block = b"\x06" + len(picture).to_bytes(3, "big") + picture
    yield "a picture whose size is a lie", bytes(whole[:42]) + block + bytes(whole[42:]), ANY
    comment = b"\xff\xff\xff\xff" + bytes(40)
    block = b"\x04" + len(comment).to_bytes(3, "big") + comment
    yield "a comment of 4 GB", bytes(whole[:42]) + block + bytes(whole[42:]), ANY
    yield "a thousand headers", bytes(whole[:42]) * 1000 + bytes(whole[42:]), ANY


def oggs() -> Iterator[Case]:
    vorbis, opus = made("clip.ogg"), made("clip.opus.ogg")
    first_page = vorbis[: vorbis.index(b"OggS", 4)]
    yield "headers alone", vorbis[: vorbis.index(b"OggS", len(first_page) + 4)], REFUSED
    yield "the first page a thousand times", first_page * 1000, ANY
    yield "one stream behind the other", vorbis + opus, ANY
    yield "a wrong checksum", opus[:22] + b"\0\0\0\0" + opus[26:], ANY
    yield "pages out of time", opus.replace(b"OggS\0\0", b"OggS\0\0")[:-40] + b"\xff" * 40, ANY
    yield "255 channels of Opus", opus.replace(b"OpusHead\1\1", b"OpusHead\1\xff"), ANY


def matroskas() -> Iterator[Case]:
    whole = made("clip.webm")
    yield "a length of 2⁵⁶", b"\x1aE\xdf\xa3\x01" + b"\xff" * 7 + whole[5:], ANY
    yield "a head alone", whole[:40], REFUSED
    yield (
        "elements ten thousand deep",
        whole[:40] + b"\x18S\x80g\x01\xff\xff\xff\xff\xff\xff\xff" * 10_000,
        REFUSED,
    )
    yield (
        "nothing but emptiness",
        whole[:40] + b"\x18S\x80g\x01\xff\xff\xff\xff\xff\xff\xff" + b"\xec\x80" * 100_000,
        (REFUSED),
    )


HOUR_MS = 3_600_000

# Milliseconds at which the packets of a second begin, one every 20 ms where there is no attack.
ATTACKS_ON_TIME: dict[str, Callable[[int], int]] = {
    "a jump of ten hours": lambda at: at + 10 * HOUR_MS * (at >= 500),
    "a jump of a month": lambda at: at + 720 * HOUR_MS * (at >= 500),
    "a jump to 2⁴⁰": lambda at: at + 2**40 * (at >= 500),
    "a jump to 2⁶²": lambda at: at + 2**62 * (at >= 500),
    "a jump to 2⁶³": lambda at: at + (2**63 - 2000) * (at >= 500),
    "a jump to 2⁶⁴": lambda at: at + (2**64 - 2000) * (at >= 500),
    "a jump of ten hours back": lambda at: at + 10 * HOUR_MS * (at < 500),
    "a jump of a second back": lambda at: at + 1000 * (at < 500),
    "jumps of ten hours, there and back": lambda at: at + 10 * HOUR_MS * (at // 20 % 2),
    "an hour after every packet": lambda at: at // 20 * HOUR_MS,
    "nine minutes after every tenth": lambda at: at + at // 200 * 540_000,
    "a start after ten hours": lambda at: at + 10 * HOUR_MS,
    "a start at 2⁶³": lambda at: at + 2**63 - 2000,
    "negative times": lambda at: at - 30_000,
    "times that fall": lambda at: 1000 - at,
    "times that are all nothing": lambda at: 0,
    "times at random": lambda at: random.Random(at).randrange(2**50),
}


def times() -> Iterator[Case]:
    """Clocks that jump, stand or run back."""
    packets = tone().tobytes()
    for name, attack in ATTACKS_ON_TIME.items():
        yield name, timed(packets, map(attack, range(0, 1000, 20))), USED
    sound = made("clip.m4a")
    for name, delta in (("nothing", 0), ("a day", 86_400 * 44_100), ("2³²", 2**32 - 1), ("-1", 2**31)):
        yield f"packets of {name} in an MP4", _patched(sound, b"stts", 12, struct.pack(">I", delta)), ANY
    for name, edit in (
        ("a day", struct.pack(">Ii", 86_400_000, -1)),
        ("2³²", struct.pack(">Ii", 2**32 - 1, -1)),
        ("from its end", struct.pack(">Ii", 1000, 2**31 - 1)),
        ("from before its start", struct.pack(">Ii", 1000, -(2**31))),
    ):
        yield f"an edit of {name}", _patched(sound, b"elst", 8, edit), ANY
    for name, granule in (("2⁶³", 2**63 - 1), ("-1", -1), ("a month", 48_000 * 86_400 * 30), ("nothing", 0)):
        yield f"a last page at {name} in an Ogg", _ending_at(made("clip.opus.ogg"), granule), ANY


def _ending_at(ogg: bytes, granule: int) -> bytes:
    """An Ogg file whose last page says that it ends there (RFC 3533, section 6)."""
    start = ogg.rindex(b"OggS")
    page = bytearray(ogg[start:])
    page[6:14], page[22:26] = struct.pack("<q", granule), bytes(4)
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = checksum << 1 ^ (0x104C11DB7 if checksum >> 31 else 0)
    page[22:26] = struct.pack("<I", checksum)
    return ogg[:start] + bytes(page)


def long() -> Iterator[Case]:
    """Hours in a small file."""
    silence = ("-f", "lavfi", "-i", "anullsrc=r=1000:cl=mono", "-t", 10 * 3600)
    yield "ten hours of FLAC", made("hours.flac", "-c:a", "flac", source=silence), REFUSED
    yield "two hours of FLAC", made("hours.flac", "-c:a", "flac", source=(*silence[:-1], 2 * 3600)), USED


KINDS = (no_sounds, playlists, ruins, wavs, samples, mp3s, mp4s, flacs, oggs, matroskas, times, long)
