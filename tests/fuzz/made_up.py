"""Requests that schemathesis makes up from the service's own OpenAPI, with usable media and live tasks."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from PIL import Image
from requests.adapters import HTTPAdapter
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serve_app.cluster.proxy_headers import READ_BY_SERVE
from tests.fuzz.images import portrait, saved
from tests.fuzz.sounds import wav

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
TIMEOUT_S = 60
FORM = "POST /generate_video"
# Shares of all requests: forms that the schema allows, and forms that it forbids.
VALID_FORMS, BAD_FORMS = 0.35, 0.1
USABLE_MEDIA = 0.8  # of the valid forms
LIVE_IDS = 0.7  # of the requests that name a task
ODD_WEBHOOKS = 0.2  # of the forms with usable media
WHOLE_SOUNDS = 0.05  # of the same
ODD_CHARSETS = 0.1  # of all forms
UNREADABLE_HEADERS = 0.02  # of all requests

# What a URL is put together from: each is a known way to break one. None leads to anybody.
SCHEMES = ["http", "https"]
HOSTS = [
    "xn--a", "xn--ls8h.invalid", "faß.invalid", "a" * 64 + ".invalid", "..", "", "me:secret@x.invalid",
    "127.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b:1::7f00:1]", "[fec0::2]", "[::1%25lo]", "[",
]  # fmt: skip
PORTS = ["", ":", ":0", ":80", ":99999", ":٣"]
PATHS = ["/hook", r"/+2AA-\ud800", "/\0", "/\U0010ffff", "/%?\n", "#" + "x" * 2000]

RATES = [
    "24",
    "24.0",
    "23.976",
    "29.97",
    "59.94",
    "30000/1001",
    "12.5",
    "25/2",
    "1.001",
    "999999999/17000000",
]

# Two of them can write half a character, as the second path does: no text has that, but Python.
CHARSETS = ["utf-7", "unicode_escape", "utf-16", "idna", "nonsense"]


@dataclass
class Tally:
    """What was asked and answered."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    task_ids: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.answers.total()

    @property
    def accepted_share(self) -> float:
        """Of the forms."""
        forms = {status: count for (label, status), count in self.answers.items() if label == FORM}
        return forms.get(200, 0) / max(sum(forms.values()), 1)

    def lines(self) -> Iterator[str]:
        """For people."""
        for (label, status), count in sorted(self.answers.items()):
            yield f"{count:8} × {label} → {status}"
        yield f"{self.requests:8} requests, {self.accepted_share:.0%} of the forms accepted"


class OddHeaders(HTTPAdapter):
    """Adds now and then a charset in which a form's texts are not, or a byte that Serve cannot read."""

    def __init__(self, seed: int):
        super().__init__()
        self._dice = random.Random(seed)

    def add_headers(self, request: requests.PreparedRequest, **_options: object) -> None:
        sent = str(request.headers.get("Content-Type", ""))
        if sent.startswith("multipart/form-data") and self._dice.random() < ODD_CHARSETS:
            request.headers["Content-Type"] = f"{sent}; charset={self._dice.choice(CHARSETS)}"
        if self._dice.random() < UNREADABLE_HEADERS:
            request.headers[self._dice.choice(READ_BY_SERVE)] = "\xff"  # is sent as this one byte


class Requests:
    """Sends made-up requests to a service.

    Args:
        url: where it listens.
        seed: the same number, the same requests, but for the ids of tasks.
    """

    def __init__(self, url: str, seed: int):
        self._schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        self._seed = seed
        self._dice = random.Random(seed)
        self._session = requests.Session()
        self._session.mount(url, OddHeaders(seed))
        self._images = [saved("PNG", Image.new("RGB", (16, 16))), saved("JPEG", portrait())]
        self._sound = wav()
        self.tally = Tally()

    def send(self, count: int) -> Tally:
        """About so many, spread over every operation; never fewer."""
        found: list[Any] = list(self._schema.get_all_operations())
        operations: list[APIOperation] = [result.ok() for result in found]
        (form,) = (operation for operation in operations if operation.label == FORM)
        others = [operation for operation in operations if operation.label != FORM]
        self._send(form, GenerationMode.POSITIVE, round(count * VALID_FORMS))
        self._send(form, GenerationMode.NEGATIVE, round(count * BAD_FORMS))
        while self.tally.requests < count:
            left = count - self.tally.requests
            for operation in others:
                self._send(operation, GenerationMode.POSITIVE, left // len(others) + 1)
            self._seed += 1
        return self.tally

    def _send(self, operation: APIOperation, mode: Any, count: int) -> None:
        @seeded(self._seed)
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Case) -> None:
            self._improve(case, mode)
            self._call(case)

        with suppress(Unsatisfiable):  # there is no wrong way to ask for /health
            send()

    def _improve(self, case: Case, mode: GenerationMode) -> None:
        """Media that can be used and a task that exists, which no schema can tell."""
        if "task_id" in case.path_parameters and self.tally.task_ids and self._dice.random() < LIVE_IDS:
            case.path_parameters["task_id"] = self._dice.choice(self.tally.task_ids)
        form = case.operation.label == FORM and mode is GenerationMode.POSITIVE
        if form and self._dice.random() < USABLE_MEDIA:
            image = self._images[self._dice.random() < 0.1]
            body: Any = case.body
            body |= {"reference_image": image, "audio_file": self._sound}
            # The engines are not what is asked here, nor who would be told: nobody, by these URLs.
            body |= {"width": 128, "height": 128, "engine": "preview", "fps": self._dice.choice(RATES)}
            body["length"] = 0 if self._dice.random() < WHOLE_SOUNDS else 2
            body.pop("webhook_url", None)
            if self._dice.random() < ODD_WEBHOOKS:
                body["webhook_url"] = self._odd_url()

    def _odd_url(self) -> str:
        scheme, host, port, path = map(self._dice.choice, (SCHEMES, HOSTS, PORTS, PATHS))
        return f"{scheme}://{host}{port}{path}"

    def _call(self, case: Case) -> None:
        response = case.call(session=self._session, timeout=TIMEOUT_S)
        self.tally.answers[case.operation.label, response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                self.tally.failures.setdefault(failure.title + case.operation.label, f"{failure}\n{group}")
        if case.operation.label == FORM and response.status_code == 200:
            self.tally.task_ids.append(response.json()["task_id"])
