"""Webhooks reach a real server, carry a signature that others can verify, and go nowhere they must not."""

import asyncio
import ipaddress
import json
import socket
import stat
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from serve_app.errors import InvalidRequest
from serve_app.tasks import webhooks
from serve_app.tasks.webhooks import WebhookFailed, deliver, is_public, load_secret, resolve

BODY = json.dumps({"type": "task.completed"}).encode()


@pytest.fixture
def secret_file(tmp_path):
    return tmp_path / "keys" / "webhook_secret"


def send(url, secret_file, *, allow_private=True):
    secret = load_secret(secret_file)
    asyncio.run(deliver(url, "task-1", BODY, int(time.time()), secret, allow_private=allow_private))


def look(url, *, allow_private=False):
    return asyncio.run(resolve(url, allow_private=allow_private))


class TestDelivery:
    def test_the_message_arrives_with_a_signature_that_a_standard_verifier_accepts(
        self, receiver, secret_file
    ):
        send(f"{receiver.url}/hook", secret_file)
        ((path, headers, body),) = receiver.received
        assert (path, body) == ("/hook", BODY)
        assert headers["host"] == f"127.0.0.1:{receiver.server_port}"
        verifier = Webhook(secret_file.read_text().strip())
        assert verifier.verify(body, headers)

    def test_an_altered_message_does_not_verify(self, receiver, secret_file):
        send(f"{receiver.url}/hook", secret_file)
        ((_, headers, body),) = receiver.received
        with pytest.raises(WebhookVerificationError):
            Webhook(secret_file.read_text().strip()).verify(body.replace(b"completed", b"failed"), headers)

    def test_a_redirect_is_not_followed(self, receiver, secret_file):
        with pytest.raises(WebhookFailed, match="302"):
            send(f"{receiver.url}/moved", secret_file)
        assert [path for path, _, _ in receiver.received] == ["/moved"]

    def test_an_answer_other_than_2xx_is_a_failure(self, receiver, secret_file):
        with pytest.raises(WebhookFailed, match="it answered 500"):
            send(f"{receiver.url}/broken", secret_file)

    def test_nobody_there_is_a_failure(self, receiver, secret_file):
        receiver.shutdown()
        receiver.server_close()
        with pytest.raises(WebhookFailed):
            send(receiver.url, secret_file)

    def test_a_private_address_is_not_called(self, receiver, secret_file):
        with pytest.raises(WebhookFailed, match="not a public address"):
            send(receiver.url, secret_file, allow_private=False)
        assert receiver.received == []

    def test_a_name_is_resolved_once_and_the_address_kept(self, receiver, secret_file, monkeypatch):
        answers = [[(2, 1, 6, "", ("127.0.0.1", 80))], [(2, 1, 6, "", ("127.0.0.2", 80))]]
        asked = []

        def getaddrinfo(host, *_arguments, **_options):
            asked.append(host)
            return answers.pop(0)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        send(f"http://changing.example:{receiver.server_port}/hook", secret_file)
        ((_, headers, _),) = receiver.received
        assert asked.count("changing.example") == 1
        assert headers["host"] == f"changing.example:{receiver.server_port}"

    def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(self, receiver, secret_file, monkeypatch):
        monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.5)
        began = time.monotonic()
        with pytest.raises(WebhookFailed, match="took longer than"):
            send(f"{receiver.url}/slow", secret_file)
        assert time.monotonic() - began < 5

    def test_a_name_is_looked_up_as_it_is_written_in_ascii(self, monkeypatch):
        asked = []

        def getaddrinfo(host, *_arguments, **_options):
            asked.append(host)
            return [(2, 1, 6, "", ("1.1.1.1", 80))]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        assert look("http://faß.example/").name == "xn--fa-hia.example"
        assert asked == ["xn--fa-hia.example"]


class TestWhereItLeads:
    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1/", "http://localhost:8000/", "http://[::1]/", "http://10.1.2.3/", "http://192.168.0.1/",
            "http://169.254.169.254/latest/meta-data", "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/",
            "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://2130706433/", "http://224.0.0.1/",
            "http://[64:ff9b:1::7f00:1]/", "http://[::ffff:0:127.0.0.1]/", "http://[::127.0.0.1]/",
            "http://[fec0::2]/", "http://[fe80::1]/", "http://[fd00::1]/", "http://[ff02::1]/", "http://[::]/",
            "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/", "http://[2001:db8::1]/",
        ],
    )  # fmt: skip
    def test_addresses_that_are_not_public_are_refused(self, url):
        with pytest.raises(InvalidRequest) as caught:
            look(url)
        assert (caught.value.field, caught.value.status_code) == ("webhook_url", 422)
        assert "public address" in caught.value.allowed

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("ftp://example.org/", "is not an http or https URL"),
            ("file:///etc/passwd", "is not an http or https URL"),
            ("http://", "is not an http or https URL"),
            ("http://me:secret@1.1.1.1/", "is not an http or https URL"),
            ("nonsense", "is not an http or https URL"),
            ("http://name.invalid/", "has no address"),
            ("http://1.1.1.1/" + "x" * 2000, "2015 characters"),
            ("http://xn--a/", "is not a URL"),
            ("http://xn--ls8h.la/", "is not a URL"),
            ("http://1.1.1.1/\ud800", "is not a URL"),
            ("http://\ud800/", "is not a URL"),
            ("http://1.1.1.1:99999/", "the port is 99999"),
            ("http://1.1.1.1:0/", "the port is 0"),
        ],
    )
    def test_what_is_no_usable_url_is_refused(self, url, why):
        with pytest.raises(InvalidRequest, match=why) as caught:
            look(url)
        assert caught.value.message.encode()  # it can be answered

    def test_public_addresses_are_accepted(self):
        target = look("https://1.1.1.1:8443/hook?x=1")
        assert target.pinned_url == "https://1.1.1.1:8443/hook?x=1"
        assert target.address == ipaddress.ip_address("1.1.1.1")

    def test_private_ones_are_where_the_operator_allows_them(self):
        assert look("http://10.1.2.3/", allow_private=True).address == ipaddress.ip_address("10.1.2.3")

    def test_addresses_of_the_internet_are_public(self):
        for address in ("1.1.1.1", "2606:4700:4700::1111", "2001:4860:4860::8888"):
            assert is_public(ipaddress.ip_address(address))

    def test_an_address_inside_another_is_not(self):
        for address in ("::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"):
            assert not is_public(ipaddress.ip_address(address))


class TestSecret:
    def test_it_is_made_once_for_the_owner_alone(self, secret_file):
        first = load_secret(secret_file)
        assert len(first) == 32
        assert load_secret(secret_file) == first
        assert secret_file.read_text().startswith("whsec_")
        assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
