"""The diffusion engine: EchoMimic V1 behind the interface every engine has.

Knows nothing of files except the folder that holds its weights.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from models.echomimic.compiled import compile_networks
from models.echomimic.memory import ran_out, too_large
from models.echomimic.mtcnn import Mtcnn
from models.echomimic.networks.build import Networks
from models.echomimic.networks.config import OFFICIAL, Architecture
from models.echomimic.pipeline import Pipeline, check
from models.echomimic.weights.checkpoints import load
from models.echomimic.weights.lock import read_lock
from models.echomimic.weights.variants import Variant
from models.engine import Control, Scene
from models.params import GenerationParams

Precision = Literal["bf16", "fp16", "fp32"]
DTYPES: dict[Precision, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
}


class EchoMimicEngine:
    """Makes a portrait speak by diffusion; takes the arguments of `Pipeline`.

    Raises:
        CheckpointError: the face detector's weights are missing.
    """

    name = "echomimic"

    def __init__(self, networks: Networks, architecture: Architecture, *, low_memory: bool = False):
        self._pipeline = Pipeline(networks, architecture, low_memory=low_memory)
        device = self._pipeline.device
        self.device = str(device)
        self.face_detector = Mtcnn()
        # Allocated now: the device check must not fail because a task has taken all the memory.
        self._probe = torch.zeros(1, device=device)
        self._side_stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @classmethod
    def load(
        cls,
        folder: Path,
        device: str,
        *,
        variant: Variant = "acc",
        precision: Precision | None = None,
        architecture: Architecture = OFFICIAL,
        compiled: bool = False,
        low_memory: bool = False,
    ) -> tuple["EchoMimicEngine", tuple[str, ...]]:
        """Read the weights; returns the engine and warnings about the files.

        Downloaded weights are compared with the sizes and hashes that the hub stated.

        Args:
            folder: see `checkpoints.load`.
            device: "cpu" or "cuda:0".
            variant: see `checkpoints.load`.
            precision: bf16 on CUDA and fp32 on the CPU by default.
            architecture: what the files must match.
            compiled: compile kernels for the default size, which takes minutes; see `compile_networks`.
            low_memory: see `Pipeline`.

        Raises:
            CheckpointError: a file is missing, broken or not the expected one.
        """
        if lock := read_lock(folder):
            lock.check(folder, variant)
        if device == "cpu":
            use_all_cores()
        # What runs in float32, such as the speech encoder, needs more precision than TensorFloat-32.
        torch.backends.cudnn.allow_tf32 = False
        dtype = DTYPES[precision or ("fp32" if device == "cpu" else "bf16")]
        idle = "cpu" if low_memory else device
        loaded = load(folder, architecture, variant=variant, dtype=dtype, device=device, idle=idle)
        engine = cls(loaded.networks, architecture, low_memory=low_memory)
        if compiled:
            engine.compile(GenerationParams())
        return engine, loaded.warnings

    def compile(self, params: GenerationParams) -> None:
        """Compile kernels for videos of this size, with and without guidance."""
        pipeline = self._pipeline

        def warm_up() -> None:
            # A single window or frame has other kernels than any larger number.
            for cfg, at_once in product((1.0, 2.0), (1,) if pipeline.low_memory else (1, 2)):
                pipeline.warm_up(replace(params, cfg=cfg), at_once)

        compile_networks(pipeline.networks, warm_up)

    def frames(self, scene: Scene, control: Control) -> Iterator[np.ndarray]:
        """Yield `scene.frame_count` frames, uint8 RGB [n, height, width, 3].

        The whole video is denoised before its first frame is decoded. `control` is consulted before every
        batch of windows and before every block of frames.

        Raises:
            ParameterError: the model cannot do this, or the device's memory is too small for it; in the
                latter case the error says what would fit.
            OutOfMemory: the memory is too small even for the smallest video.
            Cancelled: the caller asked to stop.
        """
        pipeline = self._pipeline
        check(pipeline.architecture, scene.params, scene.frame_count)
        try:
            yield from pipeline(scene, control)
            return
        except RuntimeError as error:
            if not ran_out(error):
                raise
        # Outside the except block, because the error keeps alive the tensors that filled the memory.
        raise too_large(pipeline.device, pipeline.architecture, scene.params, pipeline.warm_up)

    def check_device(self) -> None:
        """Make the device compute something tiny, in parallel to the work in progress.

        Raises:
            RuntimeError: it stopped responding, as CUDA does after an illegal memory access.
        """
        # On a separate stream: on the common one it would wait for everything that is queued there.
        with torch.cuda.stream(self._side_stream):
            self._probe.add_(1).item()


def use_all_cores() -> None:
    """Compute on all CPU cores, even if a scheduler such as Ray has limited every library to one thread."""
    torch.set_num_threads(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
