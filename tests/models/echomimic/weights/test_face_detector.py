"""The weights come from files that are known, or not at all."""

from importlib import metadata
from pathlib import Path

import joblib
import pytest
import torch

from models.echomimic.networks.face_detector import build_face_networks, probability
from models.echomimic.weights import face_detector
from models.echomimic.weights.face_detector import load_face_networks
from models.errors import CheckpointError


class ElsewhereInstalled:
    """A package whose files are in this folder."""

    def __init__(self, folder: Path):
        self._folder = folder

    def locate_file(self, path: str) -> Path:
        return self._folder / path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with copies of the files, from which they are read."""
    installed = metadata.distribution("mtcnn")
    for name, _ in face_detector.FILES.values():
        copy = tmp_path / "mtcnn" / "assets" / "weights" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(Path(str(installed.locate_file(f"mtcnn/assets/weights/{name}"))).read_bytes())
    monkeypatch.setattr(face_detector, "distribution", lambda _name: ElsewhereInstalled(tmp_path))
    return copy.parent


def test_every_weight_is_filled() -> None:
    empty, networks = vars(build_face_networks()), vars(load_face_networks())

    for name, network in networks.items():
        for before, after in zip(empty[name].parameters(), network.parameters(), strict=True):
            assert not torch.equal(before, after)


@pytest.mark.parametrize(("network", "side"), [("propose", 12), ("refine", 24), ("decide", 48)])
def test_a_network_gives_one_answer_for_an_image_of_its_side(network: str, side: int) -> None:
    with torch.inference_mode():
        answers = getattr(load_face_networks(), network)(torch.zeros(2, 3, side, side))

    assert answers.shape == (2, 6, 1, 1)
    assert ((probability(answers) > 0) & (probability(answers) < 0.1)).all()  # plain grey is no face


def test_a_file_that_was_changed_is_not_even_unpickled(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_detector, "FILES", {"refine": face_detector.FILES["refine"]})
    monkeypatch.setattr(joblib, "load", None)
    path = elsewhere / "rnet.lz4"
    path.write_bytes(path.read_bytes() + b".")

    with pytest.raises(CheckpointError, match=r"rnet.lz4 is not that of the package mtcnn 1\.0\.0"):
        load_face_networks()


def test_a_missing_file_is_an_error_that_names_the_package(elsewhere: Path) -> None:
    (elsewhere / "onet.lz4").unlink()

    with pytest.raises(CheckpointError, match=r"the package mtcnn 1\.0\.0 is not installed completely"):
        load_face_networks()


def test_a_missing_package_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_detector, "PACKAGE", "no-such-package")

    with pytest.raises(CheckpointError, match=r"the package no-such-package 1\.0\.0 is not installed"):
        load_face_networks()
