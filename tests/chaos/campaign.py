"""Rounds on one service: load, a fault, and what is left of the promises."""

import random
import time
from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image
from skimage.data import astronaut

from serve_app.demo import SPEECH
from tests.chaos import misses
from tests.chaos.cluster import Cluster
from tests.chaos.faults import FAULTS, Site
from tests.chaos.journal import Entry, JournalReader
from tests.chaos.load import SIDE, Load
from tests.chaos.plan import Order, Round
from tests.chaos.prober import Prober
from tests.chaos.release import Release
from tests.service import poll

# A node that dies, or a replica that has to start anew on a busy machine, takes most of it.
PATIENCE_S = 120.0

# The sweeper comes once a minute.
SWEPT_S = 100.0


@dataclass(frozen=True)
class Outcome:
    """What a round brought.

    `repeated` counts attempts beyond one for each task, `unannounced` tasks whose clients were never told of
    them, `failures` attempts that were held against a task; `outage_s` is the longest time without an answer,
    and `recovered` says whether the service was ready for tasks in the end.
    """

    round: Round
    misses: tuple[str, ...]
    tasks: int
    repeated: int
    failures: int
    unannounced: int
    outage_s: float
    seconds: float
    recovered: bool


class Campaign:
    """A service that is broken in one round after the other.

    Args:
        cluster: the service, started.
        load: its clients.
        prober: asks while everything else happens.
        patience_s: seconds, after a fault, for everything to end.
    """

    def __init__(self, cluster: Cluster, load: Load, prober: Prober, patience_s: float):
        self._cluster = cluster
        self._load = load
        self._prober = prober
        self._patience_s = patience_s
        self._journal = JournalReader(cluster.data / "tasks.db")
        self._journal.watch()

    def run(self, round_: Round) -> Outcome:
        """Do one round, and look at every task that began in it."""
        known, started = self._journal.entries().keys(), time.monotonic()
        self._prober.longest_outage()
        missed: list[str] = []
        accepted = self._break(round_, missed)
        for task_id, order in accepted.items():
            missed += self._misses_of_accepted(task_id, order)
        entries = self._ended_since(known)
        for entry in entries:
            missed += self._misses_of(entry)
        recovered = self._cluster.wait_until_ready(self._patience_s)
        if not recovered:
            missed.append("the service is not ready for tasks any more")
        return Outcome(
            round_,
            tuple(missed),
            tasks=len(accepted.keys() | {entry.id for entry in entries}),
            repeated=sum(max(0, entry.attempt - 1) for entry in entries),
            failures=sum(entry.failures for entry in entries),
            unannounced=len({entry.id for entry in entries} - accepted.keys()),
            outage_s=self._prober.longest_outage(),
            seconds=time.monotonic() - started,
            recovered=recovered,
        )

    def strays(self) -> list[str]:
        """Files that no task names, once every task has ended and the sweeper has been by."""

        def left() -> list[str]:
            return misses.files_without_a_task(self._cluster.data, self._journal.entries())

        with suppress(AssertionError):  # they are told then
            poll(lambda: not left(), SWEPT_S)
        return left()

    def _break(self, round_: Round, missed: list[str]) -> dict[str, Order]:
        """Load and fault; gives the accepted tasks."""
        sent = dict(zip(self._load.send(round_.before), round_.before, strict=True))
        try:
            poll(self._cluster.attempts, self._patience_s, 0.05)
            time.sleep(round_.delay_s)
            sent |= zip(self._load.send(round_.during), round_.during, strict=True)
            FAULTS[round_.fault](Site(self._cluster, self._journal, random.Random(round_.seed)))
        except (misses.Miss, AssertionError) as miss:
            missed.append(f"{round_.fault}: {miss}")
        accepted = {}
        for answer, order in sent.items():
            try:
                accepted[answer.result()] = order
            except AssertionError as miss:
                missed.append(str(miss))
        return accepted

    def _misses_of_accepted(self, task_id: str, order: Order) -> Iterator[str]:
        answer = self._load.wait(task_id, self._patience_s)
        if answer is None:
            yield f"task {task_id}: accepted, but not ended {self._patience_s:g} s after the fault"
        else:
            yield from misses.misses_of_answer(task_id, order.frame_count, answer)
        if task_id not in self._journal.entries():
            yield f"task {task_id}: accepted, but not in the journal"

    def _misses_of(self, entry: Entry) -> Iterator[str]:
        yield from misses.misses_of_entry(entry, self._journal.ends(entry.id))
        if entry.status == "completed":
            try:
                video = self._load.download(entry.id)
            except httpx.HTTPStatusError as error:
                yield f"task {entry.id}: completed, but its video is answered with {error.response.text}"
            else:
                yield from misses.misses_of_video(entry.id, entry.frame_count, video)

    def _ended_since(self, known: Set[str]) -> list[Entry]:
        """The tasks of this round, also those whose client was not told of them, once they have ended."""

        def new() -> list[Entry]:
            return [entry for task_id, entry in self._journal.entries().items() if task_id not in known]

        with suppress(AssertionError):  # each of them says so
            poll(lambda: all(entry.final for entry in new()), self._patience_s)
        return new()


@contextmanager
def campaign(
    folder: Path, release: Release, *, nodes: int = 2, patience_s: float = PATIENCE_S
) -> Iterator[Campaign]:
    """A running service with its clients; nothing of it runs afterwards.

    Args:
        folder: everything of it lies below; must exist, with a short path.
        release: the code that is served.
        nodes: see `Cluster`.
        patience_s: see `Campaign`.
    """
    portrait = folder / "portrait.png"
    Image.fromarray(astronaut()).resize((SIDE, SIDE)).save(portrait)
    cluster = Cluster(folder, release, nodes)
    with ExitStack() as stack:
        stack.callback(cluster.kill)
        cluster.start()
        load = stack.enter_context(Load(cluster.url, portrait, SPEECH))
        prober = stack.enter_context(Prober(cluster.url))
        yield Campaign(cluster, load, prober, patience_s)
