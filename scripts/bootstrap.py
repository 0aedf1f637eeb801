# -*- coding: utf-8 -*-
"""Prepares .venv with what a requirements file pins: python scripts/bootstrap.py requirements-preview.txt

Plain enough for any Python to read, so that a wrong version is told instead of failing to compile.
"""

from __future__ import print_function, unicode_literals

import hashlib
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
OLDEST, NEWEST = (3, 10), (3, 12)


def main(requirements):
    check_python()
    python = os.path.join(VENV, "Scripts" if os.name == "nt" else "bin", "python")
    create_venv(python)
    install(python, requirements)
    check_libraries(python)


def check_python():
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = "%d.%d" % sys.version_info[:2]
        fail(
            "Python 3.10, 3.11 or 3.12 is needed, this is %s. Name another one: make PYTHON=python3.11 ..."
            % found,
            "需要 Python 3.10、3.11 或 3.12，当前版本是 %s" % found,
        )


def create_venv(python):
    """Creates .venv anew where there is none, where creating it failed, and where its Python is gone."""
    complete = os.path.join(VENV, "complete")
    usable = os.path.exists(python) or os.path.exists(python + ".exe")
    if usable and os.path.exists(complete):
        return
    say("creating .venv", "正在创建虚拟环境 .venv")
    run([sys.executable, "-m", "venv", "--clear", VENV])
    open(complete, "w").close()


def install(python, requirements):
    """Installs what is not installed yet; a stamp in .venv remembers the files that are."""
    stamp = os.path.join(VENV, requirements + ".installed")
    wanted = fingerprint(requirements)
    if os.path.exists(stamp) and read(stamp) == wanted:
        return
    say("installing %s, this takes some minutes" % requirements, "正在安装依赖，需要几分钟")
    path = os.path.join(ROOT, requirements)
    run(
        [
            python,
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
            "-q",
            "-r",
            path,
        ]
    )
    with open(stamp, "w") as file:
        file.write(wanted)


def fingerprint(requirements):
    """Of the file and the requirements files it includes."""
    content = read(os.path.join(ROOT, requirements))
    digest = hashlib.sha256(content.encode("utf-8"))
    for line in content.splitlines():
        if line.startswith("-r "):
            digest.update(fingerprint(line[3:].strip()).encode("ascii"))
    return digest.hexdigest()


def read(path):
    with open(path) as file:
        return file.read()


def check_libraries(python):
    """OpenCV, which MediaPipe needs, is linked against libraries that slim systems lack."""
    check = subprocess.Popen([python, "-c", "import cv2"], stderr=subprocess.PIPE)
    _, stderr = check.communicate()
    if check.returncode:
        reason = stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        fail(
            "OpenCV cannot be loaded (%s). On Debian or Ubuntu install what it needs:\n"
            "    sudo apt-get install -y libgl1 libglib2.0-0\n"
            "on Fedora: sudo dnf install -y mesa-libGL glib2" % reason,
            "无法加载 OpenCV，请先安装上述系统库",
        )


def run(command):
    if subprocess.call(command):
        fail("this failed: " + " ".join(command), "上述命令执行失败")


def say(english, chinese):
    encoding = sys.stdout.encoding or "ascii"
    text = "%s | %s" % (english, chinese)
    print(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def fail(english, chinese):
    say(english, chinese)
    sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
