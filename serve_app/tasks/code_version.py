"""Which code of the task manager this is: the actor outlives its application, and newer code replaces it.

Written by `python -m tests.code_version --record`.
"""

CODE_VERSION = 14
SOURCES = "2e2d5dd2f0307534"
