"""Processes die, hang and are replaced while videos are made; no accepted task may be lost.

`python -m tests.chaos --rounds N --seed S` starts the service on a Ray cluster of two nodes on this machine
and does one fault a round. Knows the service as an operator does: by its processes, its REST interface,
its journal and its files.
"""
