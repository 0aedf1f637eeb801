"""Where uploads and videos are kept: `base` is the interface of a storage, `local` a storage in a folder.

Used by all packages above it. Knows files but not what is in them, and of tasks only their ids.

Tested in `tests/serve_app/storage/test_local.py`: `base`, `durable`
"""
