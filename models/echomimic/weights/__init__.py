"""The published weights: which variants there are, where their files lie, how to fetch, check and load them.

`engine` loads from here. The service's settings and its choice of an engine ask what is there: `variants` and
`layout` therefore load no tensor library. Nothing in here runs a network.

Tested in `tests/models/echomimic/weights/test_download.py`: `layout`, `lock`, `variants`
"""
