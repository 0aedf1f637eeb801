"""Which code of the task manager this is: the actor outlives its application, and newer code replaces it.

Written by `python -m tests.code_version --record`.
"""

CODE_VERSION = 15
SOURCES = "79844a40b3931b75"
