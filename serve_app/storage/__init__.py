"""Where uploads and videos are kept: `base` says what a storage promises, `local` keeps them in a folder.

Used by all packages above it. Knows files but not what is in them, and of tasks only their ids.

Tested in `tests/serve_app/storage/test_local.py`: `base`, `durable`
"""
