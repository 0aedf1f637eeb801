"""The diffusion engine as the pipeline sees it: tiny networks with rule weights, on the CPU."""

import gc
import hashlib
import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.rules import box_mask, picture, speech_signal
from models.crop import Box
from models.echomimic import engine as engine_module
from models.echomimic import memory
from models.echomimic import pipeline as pipeline_module
from models.echomimic.engine import EchoMimicEngine, Precision
from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import TINY
from models.echomimic.sampler import Conditioning
from models.echomimic.speech_features import SAMPLES_PER_ROW, speech_features
from models.echomimic.weights.checkpoints import load
from models.echomimic.weights.lock import Lock, LockedFile
from models.engine import Control, Scene
from models.errors import Cancelled, CheckpointError, OutOfMemory, ParameterError
from models.params import GenerationParams
from models.pipeline import generate_video
from models.portrait import FaceDetector, Portrait
from models.progress import Progress
from models.speech import Speech, load_speech
from tests.parity.geometry import cut_out

PARAMS = GenerationParams(
    width=64, height=64, length=9, fps=24, steps=2, context_frames=4, context_overlap=1, seed=7
)
WINDOWS = 3 * PARAMS.steps  # in a ring of nine frames, in all steps
LATENTS = 4 * (64 // 8) ** 2  # of a frame


@pytest.fixture(scope="module")
def engine(networks: Networks) -> EchoMimicEngine:
    return EchoMimicEngine(networks, TINY)


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return Portrait(picture(64, 64, ""), box_mask(64, 64), landmarks=None)


@pytest.fixture(scope="module")
def speech() -> Speech:
    return Speech(speech_signal(6_400, "voice"))


@pytest.fixture
def generate(
    engine: EchoMimicEngine, astronaut_file: Path, speech_file: Path, tmp_path: Path
) -> Callable[..., None]:
    """The whole way from two uploads to video.mp4."""

    def run(
        params: GenerationParams = PARAMS,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        output = tmp_path / "video.mp4"
        generate_video(engine, astronaut_file, speech_file, output, params, on_progress, should_stop)

    return run


@pytest.fixture(autouse=True)
def keep_to_one_thread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "every_core" not in request.node.name:
        monkeypatch.setattr(engine_module, "use_all_cores", lambda: None)


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One window and one picture in a forward pass, as with large pictures."""
    monkeypatch.setattr(memory, "MAX_PIXELS_DENOISED", {"cpu": 1})
    monkeypatch.setattr(memory, "MAX_PIXELS_DECODED", {"cpu": 1})


@pytest.fixture
def several_at_once(one_at_a_time: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_PIXELS_DENOISED", {"cpu": 2**30})
    monkeypatch.setattr(memory, "MAX_PIXELS_DECODED", {"cpu": 2**30})


@dataclass
class Watch:
    """Counts forward passes of the denoiser."""

    passes: int = 0


@pytest.fixture
def watch(networks: Networks) -> Iterator[Watch]:
    watch = Watch()

    def count(*_call: object) -> None:
        watch.passes += 1

    tap = networks.denoiser.register_forward_pre_hook(count)
    yield watch
    tap.remove()


@pytest.fixture
def room(networks: Networks) -> Iterator[Callable[[int], None]]:
    """Gives the denoiser as much memory as this many latents per forward take, and no more."""
    taps = []

    def limit(latents: int) -> None:
        def fill(_network: object, inputs: tuple[torch.Tensor, ...]) -> None:
            if inputs[0].numel() > latents:
                raise torch.OutOfMemoryError(f"{inputs[0].numel()} latents")

        taps.append(networks.denoiser.register_forward_pre_hook(fill))

    yield limit
    for tap in taps:
        tap.remove()


def play(
    engine: EchoMimicEngine, portrait: Portrait, speech: Speech, params: GenerationParams, count: int
) -> np.ndarray:
    scene = Scene(portrait, speech, params, count)
    blocks = engine.frames(scene, Control(lambda share: None, lambda: False))
    return np.concatenate(list(blocks))


def test_two_uploads_become_a_video(
    generate: Callable[..., None],
    tmp_path: Path,
    decoded_frames: Callable[[Path, int, int], np.ndarray],
) -> None:
    generate()
    assert decoded_frames(tmp_path / "video.mp4", 64, 64).shape == (9, 64, 64, 3)


@dataclass
class Filmed:
    """An engine whose frames are kept."""

    engine: EchoMimicEngine
    shown: list[np.ndarray] = field(default_factory=list)
    name: str = "filmed"
    device: str = "cpu"

    @property
    def face_detector(self) -> FaceDetector:
        return self.engine.face_detector

    def frames(self, scene: Scene, control: Control) -> Iterator[np.ndarray]:
        for block in self.engine.frames(scene, control):
            self.shown.append(block)
            yield block

    def check_device(self) -> None:
        pass


def test_a_task_shows_what_the_authors_way_from_their_face_box_shows(
    engine: EchoMimicEngine, astronaut_file: Path, speech_file: Path, tmp_path: Path
) -> None:
    filmed = Filmed(engine)
    output = tmp_path / "video.mp4"
    generate_video(filmed, astronaut_file, speech_file, output, PARAMS, lambda _progress: None, lambda: False)

    photo = np.asarray(Image.open(astronaut_file).convert("RGB"))
    size = {"W": 64, "H": 64, "facecrop_dilation_ratio": 0.5, "facemusk_dilation_ratio": 0.1}
    speech = load_speech(speech_file, lambda: False)
    # Of `whole` in tests/data/face_boxes_astronaut.json, rounded as their script does.
    image, mask = cut_out(photo, Box(183, 63, 269, 173), size)
    theirs = play(engine, Portrait(image, mask, landmarks=None), speech, PARAMS, 9)
    assert np.array_equal(np.concatenate(filmed.shown), theirs)


def test_progress_moves_with_every_window_and_every_block(generate: Callable[..., None]) -> None:
    pages: list[Progress] = []
    generate(on_progress=pages.append)
    fractions = [page.fraction for page in pages if page.stage == "generating"]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) >= WINDOWS + PARAMS.length


def test_a_stop_is_obeyed_in_the_middle_of_diffusion(
    generate: Callable[..., None], watch: Watch, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        generate(should_stop=lambda: watch.passes == 2)
    assert watch.passes == 2
    assert not (tmp_path / "video.mp4").exists()


def test_the_next_task_does_not_know_of_the_last(
    generate: Callable[..., None], watch: Watch, tmp_path: Path
) -> None:
    generate()
    first = (tmp_path / "video.mp4").read_bytes()
    with pytest.raises(Cancelled):
        generate(params=replace(PARAMS, seed=8), should_stop=lambda: watch.passes > WINDOWS + 2)
    generate()
    assert (tmp_path / "video.mp4").read_bytes() == first


def test_a_stop_is_obeyed_between_blocks_of_frames(
    engine: EchoMimicEngine, portrait: Portrait, speech: Speech
) -> None:
    stop: list[bool] = []
    control = Control(lambda share: None, lambda: bool(stop))
    blocks = engine.frames(Scene(portrait, speech, PARAMS, 9), control)
    next(blocks)
    stop.append(True)
    with pytest.raises(Cancelled):
        next(blocks)


def test_the_same_seed_gives_the_same_frames(
    engine: EchoMimicEngine, portrait: Portrait, speech: Speech
) -> None:
    first, second = (play(engine, portrait, speech, PARAMS, 9) for _ in range(2))
    assert (first == second).all()
    assert (first != play(engine, portrait, speech, replace(PARAMS, seed=8), 9)).any()


def test_frames_beyond_the_end_of_the_audio_shape_the_others_and_are_cut(
    engine: EchoMimicEngine, portrait: Portrait, speech: Speech, networks: Networks
) -> None:
    """0.4 s at 24 frames a second are 9 frames, and tokens for 12: the authors would show all."""
    long = replace(PARAMS, length=1200)
    shown = play(engine, portrait, speech, long, 9)
    theirs = play(engine, portrait, speech, long, 12)
    assert (shown == theirs[:9]).all()
    assert (shown != play(engine, portrait, speech, PARAMS, 9)).any()


@pytest.mark.parametrize("context", [2, 12])
def test_two_frames_are_enough(
    engine: EchoMimicEngine, portrait: Portrait, speech: Speech, context: int
) -> None:
    params = replace(PARAMS, length=2, context_frames=context)
    assert play(engine, portrait, speech, params, 2).shape == (2, 64, 64, 3)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"width": 68}, "width"),
        ({"context_frames": 33}, "context_frames"),
        ({"context_overlap": 4}, "context_overlap"),
    ],
)
def test_what_the_model_cannot_do_is_refused_before_anything_is_done(
    engine: EchoMimicEngine,
    portrait: Portrait,
    speech: Speech,
    change: dict[str, Any],
    field: str,
    watch: Watch,
) -> None:
    with pytest.raises(ParameterError) as refused:
        play(engine, portrait, speech, replace(PARAMS, **change), 9)
    assert refused.value.field == field
    assert watch.passes == 0


def test_too_little_memory_names_what_would_fit(
    engine: EchoMimicEngine, portrait: Portrait, speech: Speech, room: Callable[[int], None]
) -> None:
    room(2 * LATENTS)
    with pytest.raises(ParameterError, match="64 × 64 pixels with windows of 4 frames") as refused:
        play(engine, portrait, speech, PARAMS, 9)
    assert (refused.value.field, refused.value.allowed) == ("context_frames", "context_frames 2")
    assert play(engine, portrait, speech, replace(PARAMS, context_frames=2), 9).shape[0] == 9


@pytest.mark.usefixtures("several_at_once")
def test_several_windows_and_pictures_at_once_are_the_same_video(
    engine: EchoMimicEngine,
    portrait: Portrait,
    speech: Speech,
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = play(engine, portrait, speech, PARAMS, 9)
    assert watch.passes == PARAMS.steps
    monkeypatch.setattr(memory, "MAX_PIXELS_DENOISED", {"cpu": 1})
    singly = play(engine, portrait, speech, PARAMS, 9)
    assert watch.passes == PARAMS.steps + WINDOWS
    assert np.abs(together.astype(int) - singly).max() <= 1


@pytest.mark.usefixtures("several_at_once")
def test_where_memory_ends_at_several_windows_they_are_done_one_by_one(
    engine: EchoMimicEngine, portrait: Portrait, speech: Speech, room: Callable[[int], None], watch: Watch
) -> None:
    room(PARAMS.context_frames * LATENTS)
    assert len(play(engine, portrait, speech, PARAMS, 9)) == 9
    assert watch.passes == 1 + WINDOWS


@pytest.mark.usefixtures("several_at_once")
def test_where_memory_ends_at_several_pictures_they_are_decoded_one_by_one(
    engine: EchoMimicEngine, portrait: Portrait, speech: Speech, networks: Networks
) -> None:
    sizes: list[int] = []

    def fill(_decoder: object, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(inputs[0]))
        if sizes[-1] > 1:
            # As cuBLAS says it.
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    tap = networks.vae.decoder.register_forward_pre_hook(fill)
    frames = play(engine, portrait, speech, PARAMS, 9)
    tap.remove()
    assert sizes == [9, *[1] * 9]
    assert np.abs(frames.astype(int) - play(engine, portrait, speech, PARAMS, 9)).max() <= 1


def test_an_error_that_is_not_of_memory_is_passed_on(
    engine: EchoMimicEngine, portrait: Portrait, speech: Speech, networks: Networks
) -> None:
    def fail(*_call: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    tap = networks.denoiser.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        play(engine, portrait, speech, PARAMS, 9)
    tap.remove()


def test_speech_beyond_the_last_frame_is_heard(
    generate: Callable[..., None],
    engine: EchoMimicEngine,
    networks: Networks,
    speech_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The encoder hears 30 s at once, and the loudest moment of the file is the measure of all others."""
    conditionings: list[Conditioning] = []
    condition = pipeline_module.condition

    def keep(*arguments: Any) -> Conditioning:
        conditionings.append(condition(*arguments))
        return conditionings[-1]

    monkeypatch.setattr(pipeline_module, "condition", keep)
    generate()
    samples = load_speech(speech_file, lambda: False).samples
    whole = speech_features(networks.speech, samples, len(samples) // SAMPLES_PER_ROW)
    features = conditionings[0].audio.features
    assert torch.equal(features, whole[: len(features)])
    assert len(conditionings[0].audio) == PARAMS.length


def test_a_smaller_picture_is_offered_where_shorter_windows_do_not_help(
    engine: EchoMimicEngine, room: Callable[[int], None], speech: Speech
) -> None:
    params = replace(PARAMS, width=256, height=256, context_frames=4, context_overlap=3)
    room(4 * 4 * (192 // 8) ** 2)
    with pytest.raises(ParameterError) as refused:
        play(engine, Portrait(picture(256, 256, ""), box_mask(256, 256), None), speech, params, 9)
    assert (refused.value.field, refused.value.allowed) == ("width", "192 × 192 pixels")


def test_no_memory_at_all_is_not_the_users_fault(
    engine: EchoMimicEngine, portrait: Portrait, speech: Speech, room: Callable[[int], None]
) -> None:
    room(0)
    with pytest.raises(OutOfMemory, match="anything smaller"):
        play(engine, portrait, speech, PARAMS, 9)


def test_what_a_task_held_is_free_before_the_next_size_is_tried(
    engine: EchoMimicEngine, portrait: Portrait, speech: Speech, networks: Networks
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    left: list[int] = []

    def fill(_network: object, inputs: tuple[torch.Tensor, ...]) -> None:
        left.append(sum(ref() is not None for ref in held))
        held.append(weakref.ref(inputs[0]))
        raise torch.OutOfMemoryError("full")

    gc.disable()
    tap = networks.denoiser.register_forward_pre_hook(fill)
    try:
        with pytest.raises(OutOfMemory):
            play(engine, portrait, speech, PARAMS, 9)
    finally:
        tap.remove()
        gc.enable()
    assert len(left) > 1
    assert set(left) == {0}


def test_with_low_memory_networks_visit_the_denoiser_for_their_stage(
    engine: EchoMimicEngine,
    networks: Networks,
    portrait: Portrait,
    speech: Speech,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which guests are on the device as each network works."""
    guests: list[torch.nn.Module] = []
    here: dict[str, set[str]] = {}
    names = {network: name for name, network in vars(networks).items()}

    @contextmanager
    def visiting(_device: torch.device, *visitors: torch.nn.Module) -> Iterator[None]:
        guests.extend(visitors)
        yield
        guests.clear()

    def look(network: torch.nn.Module, *_call: object) -> None:
        here.setdefault(names[network], {names[guest] for guest in guests})

    monkeypatch.setattr(pipeline_module, "visiting", visiting)
    parts: dict[torch.nn.Module, torch.nn.Module] = {
        networks.reference: networks.reference,
        networks.denoiser: networks.denoiser,
    }
    parts |= {networks.vae.encoder: networks.vae, networks.vae.decoder: networks.vae}
    taps = [part.register_forward_pre_hook(lambda _p, _i, n=name: look(n)) for part, name in parts.items()]
    frames = play(EchoMimicEngine(networks, TINY, low_memory=True), portrait, speech, PARAMS, 9)
    for tap in taps:
        tap.remove()
    assert here["reference"] == {"vae", "reference", "face_locator", "speech"}
    assert here["denoiser"] == set()
    assert guests == []
    assert (frames == play(engine, portrait, speech, PARAMS, 9)).all()


def test_with_low_memory_idle_networks_are_loaded_to_the_host(layout: Path) -> None:
    loaded = load(layout, TINY, device="meta", idle="cpu").networks
    places = {name: next(network.parameters()).device.type for name, network in vars(loaded).items()}
    assert places.pop("denoiser") == "meta"
    assert set(places.values()) == {"cpu"}


def test_the_engine_uses_every_core_whatever_its_scheduler_set(layout: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    EchoMimicEngine.load(layout, "cpu", architecture=TINY)
    assert torch.get_num_threads() == len(os.sched_getaffinity(0))
    torch.set_num_threads(before)


def test_compiling_happens_before_the_engine_is_ready(layout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_for: list[GenerationParams] = []
    monkeypatch.setattr(EchoMimicEngine, "compile", lambda _engine, params: compiled_for.append(params))
    EchoMimicEngine.load(layout, "cpu", architecture=TINY, compiled=True)
    assert compiled_for == [GenerationParams()]


@pytest.mark.parametrize(("precision", "mean"), [(None, 0.0), ("fp16", 0.5), ("bf16", 4.0)])
def test_half_precision_shows_nearly_the_same(
    engine: EchoMimicEngine,
    layout: Path,
    portrait: Portrait,
    speech: Speech,
    precision: Precision | None,
    mean: float,
) -> None:
    """Levels of 255 on average; other weights differ by 60."""
    params = replace(PARAMS, length=4, steps=1)
    loaded, warnings = EchoMimicEngine.load(layout, "cpu", precision=precision, architecture=TINY)
    frames, exact = (play(one, portrait, speech, params, 4).astype(int) for one in (loaded, engine))
    assert np.abs(frames - exact).mean() <= mean
    assert (frames == exact).all() == (precision is None)
    assert warnings == ()


def test_weights_that_are_not_what_the_hub_said_are_refused(layout: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(layout, tmp_path / "layout"))
    files = [path for path in folder.rglob("*") if path.is_file()]
    locked = [
        LockedFile(
            path.relative_to(folder).as_posix(),
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
            None,
        )
        for path in files
    ]
    Lock("somebody/something", "a" * 40, tuple(locked)).write(folder)
    EchoMimicEngine.load(folder, "cpu", architecture=TINY)
    locator = folder / "face_locator.pth"
    locator.write_bytes(locator.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match=r"face_locator\.pth.*damaged"):
        EchoMimicEngine.load(folder, "cpu", architecture=TINY)


def test_a_device_that_computes_passes_its_health_check(engine: EchoMimicEngine) -> None:
    engine.check_device()


def test_a_device_that_computes_no_more_fails_its_health_check(
    networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EchoMimicEngine(networks, TINY)

    def broken(*_arguments: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.Tensor, "add_", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        engine.check_device()
