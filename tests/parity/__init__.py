"""Is this the authors' network? Computes every golden in a folder: `python -m tests.parity FOLDER`."""
