"""Goldens of whole pipelines: from portrait and speech to frames."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.rules import box_mask, picture
from models.crop import Box
from models.echomimic.latents import decode, encode
from models.echomimic.mtcnn import Mtcnn
from models.echomimic.networks.config import OFFICIAL, TINY
from models.echomimic.pipeline import condition
from models.echomimic.sampler import Conditioning, Step, denoising_steps, prepare_latents, schedule
from models.echomimic.windows import windows
from models.engine import Scene
from models.params import GenerationParams
from models.portrait import Portrait, load_portrait
from models.speech import Speech
from tests.parity.bench import Arrays, Bench, Facts, read_wav
from tests.parity.rows import AnyRow, Broken, LeftOut, compare

LATENTS = 2e-5  # of the portrait
VIDEO = 1e-4
DECODE_BATCH = 4
WINDOW_BATCH = 2  # so that several windows in a forward pass are compared as well

# The authors' names of two parameters, and ours.
RATIOS = {
    "facecrop_dilation_ratio": "facecrop_dilation_ratio",
    "facemusk_dilation_ratio": "facemask_dilation_ratio",
}

POSE = "the pose pipelines are not part of this engine yet"
SUM = "at cfg <= 1 the authors' base pipeline adds overlapping windows without dividing"


def rows(bench: Bench, stem: str) -> Iterator[AnyRow]:
    """Compare `e2e_*` of the tiny networks, or of the full-size ones."""
    facts, arrays = bench.facts(stem), bench.arrays(stem)
    if facts["pipeline"] not in ("acc", "base"):
        yield LeftOut(stem, POSE)
        return
    try:
        task = _Task(bench, facts, arrays)
    except LookupError as error:
        yield Broken(f"{stem} signal", str(error))
        return
    yield from _cut_out(bench, stem, task)
    yield from _prepared(stem, task)
    if facts["pipeline"] == "base" and facts["cfg"] <= 1:
        yield LeftOut(f"{stem} steps, latents and video", SUM)
        return
    latents = task.noise
    for index, step in enumerate(task.steps()):
        yield from _kept(f"{stem} step {index}", task, index, step)
        latents = step.latents
    if "final_latents" in arrays:
        yield compare(f"{stem} final latents", latents, task.frame_major("final_latents"), task.drift)
    yield from _pictures(stem, task, latents)
    yield from arrays.unread(stem)


class _Task:
    """A golden's input, put through the real preparation."""

    def __init__(self, bench: Bench, facts: Facts, arrays: Arrays):
        full = facts.get("config") == "full"
        networks, architecture = (bench.official, OFFICIAL) if full else (bench.tiny, TINY)
        self.networks, self.facts, self.arrays = networks, facts, arrays
        self.params = _params(facts)
        if "image" in facts:
            self.portrait = load_portrait(bench.folder / facts["image"], self.params, self._find_face)
        else:
            self.portrait = Portrait(_image(bench, facts, arrays), _mask(facts, arrays), landmarks=None)
        self.image = self.portrait.image
        scene = Scene(self.portrait, Speech(_pcm(bench, facts)), self.params, facts["L"])
        self.conditioning: Conditioning = condition(networks, scene)
        self.frames = len(self.conditioning.audio)
        self.noise = prepare_latents(architecture, self.params, self.frames)
        guided = facts["cfg"] > 1
        self.per_step = 2e-4 if guided else 1e-4
        self.drift = 4e-4 if guided else 1.5e-4

    def _find_face(self, photo: Image.Image) -> Box | None:
        self.face = Mtcnn()(photo)
        return self.face

    def steps(self) -> Iterator[Step]:
        task = self.networks.denoiser, self.conditioning, self.noise, self.params, _ignore
        return denoising_steps(*task, window_batch=WINDOW_BATCH)

    def frame_major(self, key: str) -> np.ndarray:
        return _frames_first(self.arrays[key])


def _params(facts: Facts) -> GenerationParams:
    keys = ("steps", "cfg", "context_frames", "context_overlap", "fps", "seed")
    known = {key: facts[key] for key in keys}
    known |= {ours: facts[theirs] for theirs, ours in RATIOS.items() if theirs in facts}
    return GenerationParams(width=facts["W"], height=facts["H"], length=facts["L"], **known)


def _cut_out(bench: Bench, stem: str, task: _Task) -> Iterator[AnyRow]:
    """From the image file to what the networks are given, where the golden has the file."""
    facts, arrays = task.facts, task.arrays
    if "image" not in facts:
        return
    if "face_box" in facts:
        face = task.face
        ours = [face.x0, face.y0, face.x1, face.y1] if face else []
        yield compare(f"{stem} face box", ours, facts["face_box"])
    if "ref_image_u8_rgb" in arrays:
        yield compare(f"{stem} portrait", task.image, _image(bench, facts, arrays))
    if "mask" in arrays:
        yield compare(f"{stem} mask", task.portrait.mask, _mask(facts, arrays))


def _kept(name: str, task: _Task, index: int, step: Step) -> Iterator[AnyRow]:
    """One step, where the golden keeps the steps."""
    if "step_model_output" in task.arrays:
        golden = _frames_first(task.arrays["step_model_output"][index])
        yield compare(f"{name} model output", step.model_output, golden, task.per_step)
    if "step_prev_sample" in task.arrays:
        golden = _frames_first(task.arrays["step_prev_sample"][index])
        yield compare(f"{name} latents", step.latents, golden, task.drift)


def _prepared(stem: str, task: _Task) -> Iterator[AnyRow]:
    """Everything before the first step."""
    facts, arrays = task.facts, task.arrays
    if "ref_image_tensor" in arrays:
        pixels = 2.0 * (task.image.transpose(2, 0, 1)[None].astype(np.float32) / 255) - 1.0
        yield compare(f"{stem} portrait pixels", pixels, arrays["ref_image_tensor"], LATENTS)
    if "ref_image_latents" in arrays:
        latents = encode(task.networks.vae, task.image)
        yield compare(f"{stem} portrait latents", latents, arrays["ref_image_latents"], LATENTS)
    if "init_latents" in arrays:
        yield compare(f"{stem} initial noise", task.noise, task.frame_major("init_latents"))
    if "timesteps" in arrays:
        yield compare(f"{stem} timesteps", schedule(facts["steps"]).timesteps, arrays["timesteps"])
    if "video_length" in facts:
        yield compare(f"{stem} video length", task.frames, facts["video_length"])
    if "n_unet_calls" in facts:
        ring = windows(task.frames, facts["context_frames"], facts["context_overlap"])
        yield compare(f"{stem} windows in all steps", len(ring) * facts["steps"], facts["n_unet_calls"])


def _pictures(stem: str, task: _Task, latents: Tensor) -> Iterator[AnyRow]:
    """The frames the golden keeps, and the mean of all of them."""
    facts, arrays = task.facts, task.arrays
    video = torch.cat(list(decode(task.networks.vae, latents, DECODE_BATCH))).numpy()
    kept = {
        "video": video,
        "video_frames": video[arrays["video_frames_idx"]] if "video_frames_idx" in arrays else video,
        "video_frame0": video[:1],
    }
    for key, ours in kept.items():
        if key in arrays:
            golden = arrays[key]
            golden = _frames_first(golden) if golden.ndim == 5 else golden
            yield compare(f"{stem} {key}", ours, golden, VIDEO)
    means = facts.get("per_frame_mean") or facts.get("video", {}).get("per_frame_mean")
    if means:
        yield compare(f"{stem} mean of each frame", video.mean((1, 2, 3)), means, VIDEO)


def _image(bench: Bench, facts: Facts, arrays: Arrays) -> np.ndarray:
    """The portrait, uint8 RGB; the authors' pipeline brings one of another size to the video's."""
    image = arrays.get("ref_image_u8_rgb")
    if image is None:
        image = picture(facts["W"], facts["H"], bench.rules.salt)
    size = (facts["W"], facts["H"])
    if image.shape[1::-1] != size:
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    return np.asarray(image)


def _mask(facts: Facts, arrays: Arrays) -> np.ndarray:
    if "mask" not in arrays:
        return box_mask(facts["W"], facts["H"])
    return np.rint(arrays["mask"][0, 0, 0] * 255).astype(np.uint8)


def _pcm(bench: Bench, facts: Facts) -> np.ndarray:
    if "wav_n" in facts:
        return bench.pcm(facts["wav"], facts["wav_n"], facts["wav_sha256_16"])
    path = bench.folder / facts["wav"]
    if not path.is_file():
        raise LookupError(f"{facts['wav']} is not in the folder")
    return read_wav(path)


def _frames_first(array: np.ndarray) -> np.ndarray:
    """[1, channels, frames, h, w] to [frames, channels, h, w]."""
    return array[0].swapaxes(0, 1)


def _ignore(_share: float) -> None:
    pass
