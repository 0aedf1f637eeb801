"""Signed URLs open one file for one key, for a while."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, urlsplit

import pytest

from serve_app.access.api_keys import ApiKeys, KeyFile
from serve_app.access.signed_urls import UrlSigner
from serve_app.errors import LinkRefused

PATH = "/download/1b4e28ba-2fa1-11d2-883f-0016d3cca427"


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def file(tmp_path):
    file = KeyFile(tmp_path / "api_keys.json")
    file.add("alice", admin=False)
    file.add("bob", admin=False)
    return file


@pytest.fixture
def keys(file, tmp_path):
    return ApiKeys(tmp_path / "api_keys.json")


@pytest.fixture
def signer(tmp_path, keys, clock):
    return UrlSigner(tmp_path / "secret", keys, lifetime_s=600, clock=clock)


def parts(url):
    return urlsplit(url).path, dict(parse_qsl(urlsplit(url).query))


def test_a_url_opens_as_the_key_it_was_signed_for(signer, keys):
    path, query = parts(signer.sign(PATH, keys.named("alice")))
    assert path == PATH
    assert signer.signed_by(path, query) == keys.named("alice")


def test_every_replica_knows_the_others_urls(signer, keys, tmp_path, clock):
    other = UrlSigner(tmp_path / "secret", keys, lifetime_s=600, clock=clock)
    assert other.signed_by(*parts(signer.sign(PATH, keys.named("alice"))))


def test_replicas_that_start_together_agree_on_one_secret(keys, tmp_path, clock):
    def start(_):
        return UrlSigner(tmp_path / "new", keys, lifetime_s=600, clock=clock)

    with ThreadPoolExecutor(8) as pool:
        signers = list(pool.map(start, range(8)))
    assert len({signer.sign(PATH, keys.named("alice")) for signer in signers}) == 1


def test_other_services_know_nothing_of_them(signer, keys, tmp_path, clock):
    stranger = UrlSigner(tmp_path / "other_secret", keys, lifetime_s=600, clock=clock)
    with pytest.raises(LinkRefused, match="altered"):
        stranger.signed_by(*parts(signer.sign(PATH, keys.named("alice"))))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_its_owner_may_read_the_secret(signer, tmp_path):
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_it_expires(signer, keys, clock):
    url = parts(signer.sign(PATH, keys.named("alice")))
    clock.now += 599
    assert signer.signed_by(*url)
    clock.now += 1
    with pytest.raises(LinkRefused, match="has expired"):
        signer.signed_by(*url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("expires", "2000000000"),
        ("expires", "+1000600"),
        ("expires", ""),
        ("expires", "x"),
        ("key", "bob"),
        ("key", "nobody"),
        ("key", ""),
        ("signature", ""),
        ("signature", "0" * 64),
        ("signature", "é"),
    ],
)
def test_an_altered_one_is_refused(signer, keys, name, value):
    path, query = parts(signer.sign(PATH, keys.named("alice")))
    with pytest.raises(LinkRefused, match="altered"):
        signer.signed_by(path, {**query, name: value})


def test_it_opens_no_other_path(signer, keys):
    _, query = parts(signer.sign(PATH, keys.named("alice")))
    for path in ("/download/another", "/task/" + PATH.rsplit("/", 1)[1], PATH + "/", "/"):
        with pytest.raises(LinkRefused):
            signer.signed_by(path, query)


def test_it_ends_with_its_key_even_if_another_gets_the_name(signer, keys, file):
    url = parts(signer.sign(PATH, keys.named("alice")))
    file.revoke("alice")
    with pytest.raises(LinkRefused, match="revoked"):
        signer.signed_by(*url)
    file.add("alice", admin=False)
    with pytest.raises(LinkRefused):
        signer.signed_by(*url)
