"""The published weights: which variants there are, where their files are, how to fetch, check and load them.

`engine` loads them. The service's settings and its choice of an engine use `variants` and `layout`, which
therefore load no tensor library. Nothing in here runs a network.

Tested in `tests/models/echomimic/weights/test_download.py`: `layout`, `lock`, `variants`
"""
