"""Settings are checked when the application is built."""

import pickle

import pytest
import yaml
from pydantic import ValidationError

from serve_app.app import build
from serve_app.errors import ConfigError
from serve_app.launcher import CONFIG, ROOT, check
from serve_app.settings import Settings


def test_every_setting_has_a_default():
    assert build(Settings())


def test_a_relative_data_folder_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = Settings(data_dir="videos")
    assert settings.data_dir == tmp_path / "videos"
    assert settings.journal_url == f"sqlite:///{tmp_path}/videos/tasks.db"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"data_dri": "x"}, "data_dri"),
        ({"max_upload_bytes": 0}, "max_upload_bytes"),
        ({"preview": {"max_replica": 2}}, "preview.max_replica"),
        ({"preview": {"num_gpus": -1}}, "preview.num_gpus"),
        ({"min_label": "always"}, "min_label"),
        ({"label_text": "KI"}, "label_text"),
        ({"content_producer": "x" * 1001}, "content_producer"),
        ({"preview": {"min_replicas": 3, "max_replicas": 2}}, "min_replicas is 3"),
    ],
)
def test_a_wrong_argument_is_named(arguments, named):
    with pytest.raises(ValidationError) as caught:
        Settings(**arguments)
    assert named in str(caught.value)


def test_the_settings_of_an_engine_are_found_by_its_name():
    settings = Settings(preview={"max_replicas": 3})
    assert settings.of("preview").max_replicas == 3
    assert settings.of("echomimic").num_gpus == 1


def test_the_settings_of_the_release_before_are_understood():
    """Its task manager tells them to our ingress. Pickled at 906f329, where these arguments made them."""
    theirs = pickle.loads((ROOT / "tests" / "data" / "settings_906f329.pickle").read_bytes())
    assert theirs == Settings(
        engine="echomimic",
        data_dir="/srv/data",
        api_keys="/srv/keys",
        allowed_hosts=("example.org",),
        echomimic={"variant": "base", "weights_dir": "/srv/weights", "max_replicas": 2},
        preview={"min_replicas": 0},
    )
    assert theirs.of("echomimic").num_gpus == 1
    # Settings that did not exist then.
    assert (theirs.min_label, theirs.require_consent) == ("none", False)


def test_host_names_are_compared_in_lower_case():
    assert Settings(allowed_hosts=["Example.ORG"]).allowed_hosts == ("example.org",)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"preview": {"max_replica": 3}}, r"serve_config.yaml: .*\npreview.max_replica"),
        ({"engine": "echo"}, "'engine' is 'echo'; allowed are 'auto', 'echomimic', 'preview'"),
    ],
)
def test_the_launcher_refuses_a_wrong_configuration_before_anything_starts(tmp_path, arguments, named):
    config = yaml.safe_load(CONFIG.read_text())
    config["applications"][0]["args"] |= arguments
    wrong = tmp_path / "serve_config.yaml"
    wrong.write_text(yaml.safe_dump(config))
    check(CONFIG)
    with pytest.raises(ConfigError, match=named):
        check(wrong)
