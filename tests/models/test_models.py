import subprocess
import sys
from pathlib import Path

NOT_NEEDED = ("ray", "fastapi", "mediapipe", "cv2", "torch", "librosa")


def test_reading_uploads_is_imported_without_the_heavy_libraries():
    """The ingress checks uploads in a small process."""
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({NOT_NEEDED})); import models.pipeline, models.engine"
    )

    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True)
