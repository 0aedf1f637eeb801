"""Which engines an application deploys follows from the settings, the weights and the GPUs."""

import logging

import pytest

from models.echomimic.weights.layout import missing, stems
from serve_app.engines.choice import EngineChoice, choose
from serve_app.settings import EchoMimicSettings, Settings

ON_CPU = {"num_gpus": 0, "preset": "tiny"}


@pytest.fixture
def weights(tmp_path):
    """A folder with a file for every network; nothing looks into them here."""
    pytest.importorskip("torch")
    for group in stems("acc").values():
        for stem in group:
            file = tmp_path / f"{stem}.safetensors"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return tmp_path


def settings(engine, folder, **echomimic):
    return Settings(engine=engine, echomimic=EchoMimicSettings(weights_dir=folder, **echomimic))


def test_echomimic_is_chosen_where_its_weights_and_a_gpu_are(weights):
    # On the CPU it asks for no GPU, so that none is missing.
    choice = choose(settings("auto", weights, **ON_CPU))
    assert choice == EngineChoice("echomimic", {})
    assert choice.deployed == ["echomimic", "preview"]


def test_without_weights_the_preview_is_chosen_and_the_log_says_why(weights, caplog):
    (weights / "reference_unet.safetensors").unlink()
    with caplog.at_level(logging.WARNING, "ray.serve"):
        choice = choose(settings("auto", weights, **ON_CPU))
    assert (choice.default, choice.deployed) == ("preview", ["preview"])
    why = "weights are missing in weights_dir (reference_unet); 'make weights' downloads them"
    assert choice.left_out == {"echomimic": why}
    assert f"EchoMimic is not deployed: {why}" in caplog.text
    assert f"weights_dir={weights!r}" in caplog.text


def test_the_download_of_the_missing_variant_is_named(weights):
    (why,) = choose(settings("auto", weights, variant="base")).left_out.values()
    assert "'make weights VARIANT=base' downloads them" in why


def test_without_a_gpu_the_preview_is_chosen(weights):
    choice = choose(settings("auto", weights))
    assert choice.left_out == {"echomimic": "a replica needs 1 GPU and the cluster has 0"}


def test_echomimic_can_be_insisted_on_where_no_gpu_is_seen_yet(weights, tmp_path):
    assert choose(settings("echomimic", tmp_path / "elsewhere")).default == "echomimic"


def test_preview_leaves_echomimic_out_whatever_there_is(weights):
    choice = choose(settings("preview", weights, **ON_CPU))
    assert choice == EngineChoice("preview", {"echomimic": "the setting 'engine' is 'preview'"})


def test_a_file_may_come_in_any_of_its_forms(weights):
    assert missing(weights, "acc") == []
    assert missing(weights, "base") == ["denoising_unet", "motion_module"]
    (weights / "reference_unet.safetensors").rename(weights / "reference_unet.pth")
    assert missing(weights, "acc") == []
