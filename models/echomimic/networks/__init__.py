"""The networks: their layers, their shapes, and how to build them.

`pipeline`, `sampler`, `latents`, `speech_features` and `mtcnn` run them, `weights` fills them. Nothing in
here knows of files, noise schedules, windows or tasks, and nothing in here imports from outside this package.

Tested as a whole, against what the authors' code computed, by `tests/models/echomimic/test_parity.py`.
Tested in `tests/models/echomimic/test_mtcnn.py`: `face_detector`
"""
