"""Which code of the task manager this is: the actor outlives its application, and newer code replaces it.

Written by `python -m tests.code_version --record`.
"""

CODE_VERSION = 12
SOURCES = "b26e9ce7e52b7483"
