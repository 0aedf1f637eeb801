"""The hostile files, sent to a running service, and what it should look like afterwards."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import psutil

from tests.fuzz.hostile import Expected, HostileFile
from tests.fuzz.images import portrait, saved
from tests.fuzz.sounds import wav
from tests.service import Service

AT_ONCE = 3
FIELDS = {"width": "128", "height": "128", "length": "2"}
TASK_OUTCOMES = {
    Expected.REFUSED: ("refused", "failed"),
    Expected.UNFIT: ("failed",),
    Expected.USED: ("completed",),
    Expected.ANY: ("refused", "failed", "completed"),
}
LASTING = ("Ingress", "TaskManagerActor", "ProxyActor", "ServeController")
# Bytes that a process may grow by. The ingress decodes nothing: a photo of 64 megapixels would be 183 MiB.
# The proxy holds bodies whole, and its memory keeps the size that took. An engine's replica keeps what its
# face networks take: measured, 280 MiB in 360 tasks, 5 in the last 60.
MEMORY_GROWTH = {**dict.fromkeys(LASTING, 50 * 2**20), "ProxyActor": 200 * 2**20, "Preview": 600 * 2**20}
UPLOADED = {"reference_image", "audio_file"}


@dataclass(frozen=True)
class Outcome:
    """What became of a file: "refused", "completed", "failed" or what must not be; and the words said."""

    file: HostileFile
    became: str
    words: str

    @property
    def as_expected(self) -> bool:
        return self.became in TASK_OUTCOMES[self.file.expected] and (
            self.became == "completed" or self.words != ""
        )

    def __str__(self) -> str:
        return f"{self.file.name}: {self.became}, not {self.file.expected.value}: {self.words}"


def send_all(service: Service, files: Iterable[HostileFile]) -> list[Outcome]:
    """Each beside a good partner; waits until every accepted task has ended."""
    good = {"reference_image": saved("JPEG", portrait()), "audio_file": wav()}
    parts = {name: HostileFile("", name, content, Expected.USED) for name, content in good.items()}

    def send(file: HostileFile) -> Outcome:
        return _send(service, file, parts | {file.field: file})

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return [_ended(service, outcome) for outcome in list(pool.map(send, files))]


def _send(service: Service, file: HostileFile, parts: dict[str, HostileFile]) -> Outcome:
    body = b"".join([*_form(parts), b"--frontier--\r\n"])
    headers = {"Content-Type": "multipart/form-data; boundary=frontier"}
    response = service.http.post("/generate_video", content=body, headers=headers, timeout=180)
    answer = response.json()
    if response.status_code == 200:
        return Outcome(file, "accepted", answer["task_id"])
    became = "refused" if 400 <= response.status_code < 500 else f"answered with {response.status_code}"
    return Outcome(file, became, answer["error"]["message"])


def _form(parts: dict[str, HostileFile]) -> Iterator[bytes]:
    """By hand: clients clean the names of files, those who attack don't."""
    for name, value in FIELDS.items():
        yield f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for name, file in parts.items():
        told = f'form-data; name="{name}"; filename="{file.file_name}"'
        yield f"--frontier\r\nContent-Disposition: {told}\r\n\r\n".encode() + file.content + b"\r\n"


def _ended(service: Service, outcome: Outcome) -> Outcome:
    if outcome.became != "accepted":
        return outcome
    task = service.wait(outcome.words)
    if task["attempt"] != 1:
        return replace(outcome, became=f"tried {task['attempt']} times", words=json.dumps(task))
    return replace(outcome, became=task["status"], words=task["error"] or "")


class Watch:
    """What must not change in a service: its processes, their memory, its files but those of its tasks.

    Replicas of an engine come and go with its tasks; one that dies shows as a second attempt.
    """

    def __init__(self, service: Service):
        self._service = service
        self._before = self._memory()
        self._files_before = self._temporary_files()

    def complaints(self) -> Iterator[str]:
        """What has changed since; nothing, where all is well."""
        after = self._memory()
        for name in sorted({name for name, _ in self._before.keys() - after.keys()} & {*LASTING}):
            yield f"a process of {name} died"
        for (name, _), growth in self._growth().items():
            if growth > MEMORY_GROWTH[name]:
                yield f"a process of {name} grew by {growth / 2**20:.0f} MiB"
        if left := [folder for folder in self._uploads() if self._is_nobody_s(folder)]:
            yield f"uploads of no task are left: {left}"
        if left := sorted(self._temporary_files() - self._files_before):
            yield f"temporary files are left: {left}"
        if not self._service.http.get("/health").json()["ready"]:
            yield "the service is not ready"

    def growth(self) -> str:
        """Of the memory of each process, for people."""
        grown = [f"{name} {growth / 2**20:+.0f} MiB" for (name, _), growth in self._growth().items()]
        return f"memory: {', '.join(grown)}"

    def _growth(self) -> dict[tuple[str, psutil.Process], int]:
        after = self._memory()
        return {key: after[key] - before for key, before in self._before.items() if key in after}

    def _memory(self) -> dict[tuple[str, psutil.Process], int]:
        found = [(name, process) for name in MEMORY_GROWTH for process in self._service.processes(name)]
        return {(name, process): process.memory_info().rss for name, process in found}

    def _temporary_files(self) -> set[str]:
        """What lies in the temporary folder, and among the uploads besides these."""
        temporary = self._service.temporary.rglob("*")
        uploads = (self._service.folder / "data" / "uploads").glob("*/*")
        return {str(path) for path in (*temporary, *uploads) if path.name not in UPLOADED}

    def _uploads(self) -> list[str]:
        return [folder.name for folder in (self._service.folder / "data" / "uploads").iterdir()]

    def _is_nobody_s(self, task_id: str) -> bool:
        return self._service.http.get(f"/task/{task_id}").status_code == 404
