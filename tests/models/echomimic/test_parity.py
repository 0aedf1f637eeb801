"""The network gives what the authors' code gave; what would not is noticed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.rules import Rules
from models.crop import Box
from models.echomimic.latents import encode
from models.echomimic.networks.build import Networks
from tests.models.echomimic.mistakes import MISTAKES
from tests.parity.bench import Bench
from tests.parity.geometry import cut_out
from tests.parity.report import golden, report
from tests.parity.rows import AnyRow, Row

GOLDENS = Path(__file__).parents[2] / "data" / "parity"
STEMS = sorted({path.name.rsplit(".", 1)[0] for path in GOLDENS.glob("*.json")} - {"mutation_sensitivity"})
SHARED = Path(__file__).parents[4] / "shared" / "parity" / "open"
GUIDED = "e2e_acc_cfg2.5"

# Seen elsewhere than in the video, where the order of a frame's tokens makes no difference.
SEEN_IN = {"whisper layers in reverse order": "whisper"}
TOLERANCES = {"latents": 4e-4, "video": 1e-4, "step0_model_output": 2e-4}  # with guidance


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(GOLDENS, Rules())


@pytest.mark.parametrize("stem", STEMS)
def test_a_golden_is_reproduced(bench: Bench, stem: str) -> None:
    assert missed(golden(bench, stem)) == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_noticed(bench: Bench, mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MISTAKES[mistake](monkeypatch)
    rows = golden(bench, SEEN_IN.get(mistake, GUIDED))
    assert any(isinstance(row, Row) and not row.passed for row in rows)


def test_every_mistake_the_authors_result_shows_is_tried() -> None:
    effects = json.loads((GOLDENS / "mutation_sensitivity.json").read_text())
    visible = {name for name, effect in effects.items() if is_visible(effect["cfg2.5"])}
    assert visible <= set(MISTAKES)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the whole set of goldens is not here")
@pytest.mark.usefixtures("bench")
def test_the_whole_set_is_reproduced() -> None:
    assert missed(report(Bench(SHARED, Rules()), full=False)) == []


@pytest.mark.usefixtures("bench")
def test_other_weights_are_noticed() -> None:
    rows = golden(Bench(GOLDENS, Rules("other")), "unet_caseC")
    assert any(isinstance(row, Row) and not row.passed for row in rows)


MINE = "e2e_mine"
FACTS = ("pipeline", "cfg", "L", "H", "W", "steps", "fps", "seed", "context_frames", "context_overlap", "wav")
ARRAYS = ("ref_image_u8_rgb", "mask", "video_frames", "video_frames_idx")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """As little as one who checks with weights of their own has to keep of the authors' run."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    facts = json.loads((GOLDENS / "e2e_base_cfg2.5.json").read_text())
    (folder / f"{MINE}.json").write_text(json.dumps({key: facts[key] for key in FACTS}))
    with np.load(GOLDENS / "e2e_base_cfg2.5.npz") as arrays:
        np.savez(folder / f"{MINE}.npz", **{key: arrays[key] for key in ARRAYS})
    (folder / facts["wav"]).symlink_to(GOLDENS / facts["wav"])
    return folder


def test_a_run_with_weights_from_files_is_compared(recorded: Path, layout: Path) -> None:
    rows = list(golden(Bench(recorded, Rules(), weights=layout), MINE))
    assert [(row.name, row.passed) for row in rows] == [(f"{MINE} video_frames", True)]


@pytest.fixture
def recorded_from_photo(recorded: Path, astronaut_file: Path, networks: Networks) -> Path:
    """A run that began with a photo, from the box that the authors' detector draws on it."""
    shutil.copy(astronaut_file, recorded / "photo.png")
    facts = json.loads((recorded / f"{MINE}.json").read_text())
    ratios = {"facecrop_dilation_ratio": 0.3, "facemusk_dilation_ratio": 0.05}
    facts |= {"image": "photo.png", "face_box": [183, 63, 269, 173], **ratios}
    (recorded / f"{MINE}.json").write_text(json.dumps(facts))
    photo = np.asarray(Image.open(astronaut_file).convert("RGB"))
    image, mask = cut_out(photo, Box(*facts["face_box"]), facts)
    arrays = {"ref_image_u8_rgb": image, "mask": mask[None, None, None] / 255}
    arrays["ref_image_latents"] = encode(networks.vae, image).numpy()
    np.savez(recorded / f"{MINE}.npz", **arrays)
    return recorded


def test_a_run_that_began_with_a_photo_is_compared_from_there(recorded_from_photo: Path) -> None:
    rows = list(golden(Bench(recorded_from_photo, Rules()), MINE))
    names = [f"{MINE} {part}" for part in ("face box", "portrait", "mask", "portrait latents")]
    assert [(row.name, row.passed) for row in rows] == [(name, True) for name in names]


def test_another_crop_of_the_photo_is_noticed(recorded_from_photo: Path) -> None:
    facts = json.loads((recorded_from_photo / f"{MINE}.json").read_text())
    facts |= {"face_box": [184, 63, 269, 173], "facecrop_dilation_ratio": 0.5}
    (recorded_from_photo / f"{MINE}.json").write_text(json.dumps(facts))
    rows = list(golden(Bench(recorded_from_photo, Rules()), MINE))
    assert [row.passed for row in rows] == [False, False, False, False]


def test_weights_that_differ_in_one_file_are_noticed(recorded: Path, layout: Path, tmp_path: Path) -> None:
    weights = Path(shutil.copytree(layout, tmp_path / "weights"))
    locator = weights / "face_locator.pth"
    torch.save({key: -tensor for key, tensor in torch.load(locator).items()}, locator)
    (row,) = golden(Bench(recorded, Rules(), weights), MINE)
    assert not row.passed


def test_an_empty_folder_is_a_miss(tmp_path: Path) -> None:
    assert len(missed(report(Bench(tmp_path, Rules()), full=False))) == 1


def test_an_unknown_file_is_a_miss(tmp_path: Path) -> None:
    (tmp_path / "ddim.json").symlink_to(GOLDENS / "ddim.json")
    (tmp_path / "ddim.npz").symlink_to(GOLDENS / "ddim.npz")
    (tmp_path / "e2e_acc_cfg2.5.mp4").touch()
    assert [str(row) for row in missed(report(Bench(tmp_path, Rules()), full=False))] == [
        f"MISS  {'e2e_acc_cfg2.5.mp4':62}  not a file this command knows"
    ]


def missed(rows: Iterator[AnyRow]) -> list[AnyRow]:
    return [row for row in rows if not row.passed]


def is_visible(effect: dict[str, float | str]) -> bool:
    return any(value == "nan" or float(value) > TOLERANCES[key] for key, value in effect.items())
