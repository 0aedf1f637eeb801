"""Uploads go to the disk as they come, however large and many they are."""

import asyncio
import tracemalloc
import wave

import httpx
import pytest

from serve_app.api.application import create_api
from serve_app.engines.choice import EngineChoice
from serve_app.settings import MEBIBYTE, Settings
from serve_app.tasks.manager_client import ManagerClient

AT_ONCE = 3
SECONDS = 327  # of silence, CD quality in two channels: 60 MB


@pytest.fixture
def large_sound(tmp_path):
    """A WAV that is almost as large as a request may be."""
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setparams((2, 2, 48_000, 0, "NONE", ""))
        for _ in range(SECONDS):
            sound.writeframes(bytes(4 * 48_000))
    return path


class WillingManager(ManagerClient):
    """Accepts every task, and makes none."""

    def __init__(self):
        pass

    async def call(self, method, *arguments, **_options):
        return arguments[0] if method.__name__ == "submit" else None


async def send(client, image, audio):
    with image.open("rb") as image_file, audio.open("rb") as audio_file:
        files = {"reference_image": image_file, "audio_file": audio_file}
        return await client.post("/generate_video", files=files)


async def send_at_once(api, image, audio):
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await asyncio.gather(*(send(client, image, audio) for _ in range(AT_ONCE)))


def test_several_large_ones_take_less_memory_than_a_third_of_one(tmp_path, astronaut_file, large_sound):
    settings = Settings(data_dir=tmp_path / "data")
    api = create_api(settings, EngineChoice("preview", {}), WillingManager())
    tracemalloc.start()
    answers = asyncio.run(send_at_once(api, astronaut_file, large_sound))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert [answer.status_code for answer in answers] == [200] * AT_ONCE
    size = large_sound.stat().st_size
    assert size > 0.9 * settings.max_upload_bytes
    assert [path.stat().st_size for path in tmp_path.glob("data/uploads/*/audio_file")] == [size] * AT_ONCE
    assert peak < size / 3, f"{peak / MEBIBYTE:.1f} MiB"
