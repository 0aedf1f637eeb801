"""Which golden is compared how, and what in a folder is none."""

from collections.abc import Callable, Iterator
from fnmatch import fnmatch

from tests.parity import geometry, locator, schedules, sound, unet, video, weights
from tests.parity.bench import Bench
from tests.parity.rows import AnyRow, Broken, LeftOut

Compare = Callable[[Bench, str], Iterator[AnyRow]]

FULL_SIZE = "e2e_full"
COMPARISONS: tuple[tuple[str, Compare], ...] = (
    ("unet_case*", unet.rows),
    ("face_locator_*", locator.rows),
    ("whisper", sound.rows),
    ("context_windows", schedules.window_rows),
    ("ddim", schedules.ddim_rows),
    ("geometry", geometry.rows),
    ("weights_probe", weights.rows),
    ("e2e_*", video.rows),
)
NO_GOLDENS = {
    "tools.py": "the authors' rules as code; `weights_probe` compares ours with what they made",
    "mutation_sensitivity.json": "how far mistakes move a golden; the tests make those mistakes",
}
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tiff")
SUFFIXES = (".json", ".npz")


def report(bench: Bench, *, full: bool) -> Iterator[AnyRow]:
    """Compare every golden in the folder.

    Args:
        bench: the folder, and the weights that the authors' code was given.
        full: also run the networks in full size.
    """
    folder = bench.folder
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    yield from (_other(name) for name in names if not _is_golden(name))
    stems = dict.fromkeys(_stem(name) for name in names if _is_golden(name))
    if not stems:
        yield Broken(str(folder), "no goldens here")
    for stem in stems:
        if stem.startswith(FULL_SIZE) and not full:
            yield LeftOut(stem, "full size; ask with --full")
        else:
            yield from golden(bench, stem)


def golden(bench: Bench, stem: str) -> Iterator[AnyRow]:
    """Compare one golden, which may be an array file, a file of facts, or both."""
    compare = _comparison(stem)
    assert compare is not None
    try:
        yield from compare(bench, stem)
    except (KeyError, ValueError, FileNotFoundError) as error:
        yield Broken(stem, f"is not what its name says: {error!r}")


def _other(name: str) -> AnyRow:
    if name in NO_GOLDENS:
        return LeftOut(name, NO_GOLDENS[name])
    if name.endswith(IMAGES):
        return LeftOut(name, "a photo that goldens were made from")
    if name.endswith(".wav"):
        return LeftOut(name, "a signal that goldens were made from")
    return Broken(name, "not a file this command knows")


def _is_golden(name: str) -> bool:
    return name.endswith(SUFFIXES) and _comparison(_stem(name)) is not None


def _stem(name: str) -> str:
    """Without the suffix; other dots are part of it."""
    return name.rsplit(".", 1)[0]


def _comparison(stem: str) -> Compare | None:
    return next((compare for pattern, compare in COMPARISONS if fnmatch(stem, pattern)), None)
