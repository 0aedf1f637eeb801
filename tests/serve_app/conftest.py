from tests.models.conftest import *  # noqa
import pytest


@pytest.fixture(scope="session")
def nobody_file(nobody_image, tmp_path_factory):
    path = tmp_path_factory.mktemp("portraits") / "nobody.png"
    nobody_image.save(path)
    return path
