"""Which pages a browser is told may call which routes."""

from tests.serve_app.local_api import local_api

PREFLIGHT = {"Origin": "null", "Access-Control-Request-Method": "POST"}


class TestPreflights:
    def test_for_hosts_that_are_not_ours_are_refused(self, tmp_path, sqlite_journal):
        headers = {**PREFLIGHT, "Host": "rebound.example.org"}
        answer = local_api(tmp_path, sqlite_journal).options("/generate_video", headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "host_not_allowed")

    def test_for_the_contract_s_routes_are_allowed_to_every_page(self, tmp_path, sqlite_journal):
        answer = local_api(tmp_path, sqlite_journal).options("/generate_video", headers=PREFLIGHT)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")

    def test_that_are_refused_say_so_as_all_errors_do(self, tmp_path, sqlite_journal):
        answer = local_api(tmp_path, sqlite_journal).options("/tasks", headers=PREFLIGHT)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "bad_request")
        assert answer.json()["detail"] == "Disallowed CORS origin"
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-origin" not in answer.headers
