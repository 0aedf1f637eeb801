"""Portrait and speech in, video out. Knows tensors and pixels, nothing of Ray or HTTP.

Tested in `tests/models/test_image.py`: `bounds`, `image_decoder`
Tested in `tests/models/test_pipeline.py`: `engine`, `errors`
Tested in `tests/models/test_video.py`: `ffmpeg`
Tested in `tests/models/test_face.py`: `landmarks`
"""
