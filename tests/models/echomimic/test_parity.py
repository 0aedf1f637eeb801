"""The network gives what the authors' code gave; what would not is noticed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.models.echomimic.mistakes import MISTAKES
from tests.parity.bench import Bench
from tests.parity.report import golden, report
from tests.parity.rows import AnyRow, Row
from tests.parity.rules import Rules

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
def test_the_whole_set_is_reproduced() -> None:
    assert missed(report(SHARED, "", full=False)) == []


def test_other_weights_are_noticed() -> None:
    rows = golden(Bench(GOLDENS, Rules("other")), "unet_caseC")
    assert any(isinstance(row, Row) and not row.passed for row in rows)


def test_an_empty_folder_is_a_miss(tmp_path: Path) -> None:
    assert len(missed(report(tmp_path, "", full=False))) == 1


def test_an_unknown_file_is_a_miss(tmp_path: Path) -> None:
    (tmp_path / "ddim.json").symlink_to(GOLDENS / "ddim.json")
    (tmp_path / "ddim.npz").symlink_to(GOLDENS / "ddim.npz")
    (tmp_path / "e2e_acc_cfg2.5.mp4").touch()
    assert [str(row) for row in missed(report(tmp_path, "", full=False))] == [
        f"MISS  {'e2e_acc_cfg2.5.mp4':62}  not a file this command knows"
    ]


def missed(rows: Iterator[AnyRow]) -> list[AnyRow]:
    return [row for row in rows if not row.passed]


def is_visible(effect: dict[str, float | str]) -> bool:
    return any(value == "nan" or float(value) > TOLERANCES[key] for key, value in effect.items())
