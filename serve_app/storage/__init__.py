"""Where uploads and videos are kept: `base` says what a storage promises, `local` keeps them in a folder.

Everybody comes in. Knows files, nothing of what is in them, and nothing of tasks but their ids.

Tested in `tests/serve_app/storage/test_local.py`: `base`, `durable`
"""
