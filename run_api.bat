@echo off
rem Starts the service by double-click.
chcp 65001 >nul
cd /d "%~dp0"
set "PYTHON="
set "START="
for %%v in (3.12 3.11 3.10 3) do if not defined START py -%%v -c "" >nul 2>nul && set "START=py -%%v"
if not defined START python -c "" >nul 2>nul && set "START=python"
if not defined START echo Python 3 is needed: https://www.python.org/downloads/ ^| 请先安装 Python 3
if not defined START goto failed
%START% scripts\bootstrap.py requirements-preview.txt || goto failed
echo Serving on http://127.0.0.1:7688 (Ctrl-C ends it) ^| 服务地址 http://127.0.0.1:7688，按 Ctrl-C 结束
.venv\Scripts\python.exe -m serve_app.launcher || goto failed
goto end
:failed
echo The service could not be started, see above. ^| 启动失败，请查看上面的信息。
:end
pause
