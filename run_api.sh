#!/bin/sh
# Starts the service without make. 启动服务。
cd "$(dirname "$0")" || exit 1
"${PYTHON:-python3}" scripts/bootstrap.py requirements-preview.txt || exit 1
exec .venv/bin/python -m serve_app.launcher
