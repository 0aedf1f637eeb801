"""What the API documentation says of every route."""

import pytest

from tests.serve_app.local_api import local_api


class TestTheDocumentation:
    @pytest.fixture
    def responses(self, tmp_path, sqlite_journal):
        """The documented answers of every operation."""
        paths = local_api(tmp_path, sqlite_journal).get("/openapi.json").json()["paths"]
        return {
            (method, path): set(operation["responses"])
            for path, operations in paths.items()
            for method, operation in operations.items()
        }

    @pytest.mark.parametrize("status", ["400", "413"])
    def test_says_that_every_route_refuses_foreign_hosts_and_large_bodies(self, responses, status):
        assert [operation for operation, statuses in responses.items() if status not in statuses] == []

    @pytest.mark.parametrize(
        ("settings", "labels", "consent", "required"),
        [
            ({}, ["none", "start", "corner"], {"default": False}, False),
            ({"min_label": "start"}, ["start", "corner"], {"default": False}, False),
            ({"min_label": "corner"}, ["corner"], {"default": False}, False),
            ({"require_consent": True}, ["none", "start", "corner"], {"const": True}, True),
        ],
    )
    def test_says_which_label_and_consent_the_service_requires(
        self, tmp_path, sqlite_journal, settings, labels, consent, required
    ):
        schemas = local_api(tmp_path, sqlite_journal, **settings).get("/openapi.json").json()["components"]
        form = schemas["schemas"]["GenerateVideoForm"]
        label = form["properties"]["label"]
        assert (label["enum"], label["default"]) == (labels, labels[0])
        told = {name: form["properties"]["consent"].get(name) for name in ("default", "const")}
        assert told == {"default": None, "const": None} | consent
        assert ("consent" in form["required"]) == required

    def test_says_what_becomes_of_a_range_beyond_the_end(self, responses):
        assert "416" in responses["get", "/download/{task_id}"]
