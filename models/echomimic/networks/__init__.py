"""The networks: their layers, their shapes, and how to build them.

`pipeline`, `sampler`, `latents` and `speech_features` run them, `weights` fills them. Nothing in here knows
of files, noise schedules, windows or tasks, and nothing in here imports from outside this package.

Tested as a whole, against what the authors' code computed, by `tests/models/echomimic/test_parity.py`.
"""
