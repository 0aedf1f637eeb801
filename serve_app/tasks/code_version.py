"""Which code of the task manager this is: the actor outlives its application, and newer code replaces it.

Written by `python -m tests.code_version --record`.
"""

CODE_VERSION = 14
SOURCES = "2334a3a0285b1fdc"
