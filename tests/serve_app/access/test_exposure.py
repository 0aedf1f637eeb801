"""Where the service may listen without keys."""

import contextlib

import psutil
import pytest
import yaml
from ray.serve.schema import HTTPOptionsSchema

from serve_app.access.api_keys import KeyFile
from serve_app.access.exposure import check_exposure, is_loopback
from serve_app.errors import ConfigError
from serve_app.launcher import CONFIG, SERVE_HOST, check
from serve_app.settings import Settings
from tests.service import poll

PRIVATE = ["127.0.0.1", "127.0.0.53", "::1", "localhost", "LOCALHOST"]
PUBLIC = ["0.0.0.0", "::", "", "192.168.1.5", "8.8.8.8", "myhost", "localhost.example.org", "::ffff:0.0.0.0"]


@pytest.fixture
def configuration(tmp_path):
    """Writes the shipped configuration with other options."""

    def write(http_options, **args):
        config = yaml.safe_load(CONFIG.read_text())
        config["http_options"] = http_options
        config["applications"][0]["args"] |= args
        path = tmp_path / "serve_config.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    return write


@pytest.mark.parametrize("host", PRIVATE)
def test_on_this_machine_alone_nobody_needs_a_key(host):
    check_exposure(Settings(), host)


@pytest.mark.parametrize("host", PUBLIC)
def test_where_others_reach_it_keys_are_needed(host, tmp_path):
    with pytest.raises(ConfigError, match="can reach, and no API key is required: set api_keys"):
        check_exposure(Settings(), host)
    check_exposure(Settings(api_keys=tmp_path / "api_keys.json"), host)


@pytest.mark.parametrize("host", PUBLIC)
def test_unless_that_is_meant(host):
    check_exposure(Settings(public_without_keys=True), host)


def listening(service):
    """Where each process of the service listens: (its title, address)."""
    for process in (service.process, *service.process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())[:60]
            for socket in process.net_connections(kind="inet"):
                if socket.status == psutil.CONN_LISTEN:
                    yield title, socket.laddr.ip.removeprefix("::ffff:")


def test_every_port_of_the_service_is_on_the_loopback_interface(service):
    found = set(listening(service))

    assert any("ServeReplica" in title for title, _ in found)
    assert [where for where in found if not is_loopback(where[1])] == []


class TestTheLauncher:
    def test_refuses_before_anything_starts(self, configuration):
        with pytest.raises(ConfigError, match=r"http_options.host is '0\.0\.0\.0'"):
            check(configuration({"host": "0.0.0.0"}))
        check(configuration({"host": "0.0.0.0"}, public_without_keys=True))

    @pytest.mark.parametrize("options", [None, {}, {"port": 8000}])
    def test_knows_that_serve_listens_everywhere_by_default(self, configuration, options):
        assert HTTPOptionsSchema().host == SERVE_HOST
        with pytest.raises(ConfigError, match=r"http_options\.host"):
            check(configuration(options))

    def test_refuses_a_file_of_keys_that_is_missing_or_broken(self, configuration, tmp_path):
        keys = tmp_path / "api_keys.json"
        config = configuration({"host": "0.0.0.0"}, api_keys=str(keys))
        with pytest.raises(ConfigError, match="there is no file"):
            check(config)
        KeyFile(keys).add("alice", admin=False)
        check(config)
        keys.write_text("[")
        with pytest.raises(ConfigError, match="cannot be read"):
            check(config)


def test_a_plain_serve_run_says_why_and_serves_nothing(run_service, ray_address, tmp_path):
    # A name for 127.0.0.1 that we, to be on the safe side, don't take for one.
    with run_service(tmp_path, address=ray_address, host="127.1", until_ready=False) as service:
        poll(lambda: "http_options.host is '127.1', which other" in (tmp_path / "serve.log").read_text())
        for path in ("/", "/health", "/docs"):
            assert service.http.get(path).status_code == 404
