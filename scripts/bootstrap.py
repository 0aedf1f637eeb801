# -*- coding: utf-8 -*-
"""Prepares .venv with what a requirements file pins: python scripts/bootstrap.py requirements-preview.txt

Plain enough for any Python to read: whatever Python starts it looks for one that fits.
"""

from __future__ import print_function, unicode_literals

import ast
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")

# MediaPipe's wheels end at 3.12. The libraries of the diffusion engine begin at 3.11.
OLDEST, OLDEST_FOR_DIFFUSION, NEWEST = (3, 10), (3, 11), (3, 12)
ON_PATH = ["python3.12", "python3.11", "python3.10"]
FETCHED = "3.12"

# How .venv is made; a .venv that was made otherwise is made anew. 2: with the headless OpenCV alone.
LAYOUT = "2"

PINS = "requirements-preview.txt"  # names uv's version
OVERRIDES = "requirements-overrides.txt"

# uv does not read pip's configuration: pip's option, uv's variable, what stands between the values of a list.
PIP_OPTIONS = [
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_EXTRA_INDEX_URL", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("constraint", "UV_CONSTRAINT", " "),
    ("cert", "SSL_CERT_FILE", " "),
    ("proxy", "ALL_PROXY", " "),
    ("timeout", "UV_HTTP_TIMEOUT", " "),
    ("default-timeout", "UV_HTTP_TIMEOUT", " "),
]


def main(requirements):
    python = program(VENV, "python")
    create_venv(python)
    install(python, requirements)
    check_libraries(python)


def create_venv(python):
    """Creates .venv anew where there is none, where creating it failed, and where its Python is gone."""
    complete = os.path.join(VENV, "complete")
    usable = os.path.exists(python) or os.path.exists(python + ".exe")
    if usable and os.path.exists(complete) and read(complete) == LAYOUT:
        return
    base = find_python() or fetch_python()
    say("creating .venv with %s" % base, "正在创建虚拟环境 .venv")
    if not make_venv(base, VENV):
        fail(
            "%s lacks pip. On Debian or Ubuntu: sudo apt-get install -y python3-venv" % base,
            "该 Python 缺少 pip，请先安装上述软件包",
        )
    with open(complete, "w") as file:
        file.write(LAYOUT)


def find_python():
    """The Python that PYTHON names, or the best of the one that runs this and those on the PATH, or None."""
    if os.environ.get("PYTHON"):  # what make and run_api.sh then start this with
        if not OLDEST <= sys.version_info[:2] <= NEWEST:
            fail(
                "PYTHON=%s is Python %d.%d; 3.10, 3.11 or 3.12 is needed"
                % (os.environ["PYTHON"], sys.version_info[0], sys.version_info[1]),
                "PYTHON 指定的版本不合适，需要 Python 3.10、3.11 或 3.12",
            )
        return sys.executable
    versions = [(version(python), python) for python in [sys.executable] + ON_PATH]
    for oldest in (OLDEST_FOR_DIFFUSION, OLDEST):
        for found, python in versions:
            if found and oldest <= found <= NEWEST:
                return python
    return None


def version(python):
    """(major, minor) of a Python that runs and has venv, or None: a name on the PATH may lead nowhere."""
    told = output([python, "-c", "import sys, venv; print(sys.version_info[:2])"])
    return ast.literal_eval(told) if told else None


def fetch_python():
    """A fitting Python that uv downloads, for all of this user's projects."""
    say(
        "no Python 3.10, 3.11 or 3.12 on the PATH; uv downloads %s" % FETCHED,
        "未找到 Python 3.10、3.11 或 3.12，正在用 uv 下载 %s" % FETCHED,
    )
    with some_uv() as (uv, environment):
        if uv and not subprocess.call([uv, "python", "install", FETCHED], env=environment):
            python = output([uv, "python", "find", "--system", FETCHED], env=environment)
            if python:
                return python
    return fail(
        "Python 3.10, 3.11 or 3.12 is needed, this is %d.%d, and none could be downloaded.\n"
        "Install one; if it is not on the PATH, name it: make PYTHON=/path/to/python3.12 ...\n"
        "A mirror for the download is named by UV_PYTHON_INSTALL_MIRROR." % tuple(sys.version_info[:2]),
        "需要 Python 3.10 至 3.12，且自动下载失败。请手动安装，或用 UV_PYTHON_INSTALL_MIRROR 指定镜像",
    )


@contextmanager
def some_uv():
    """A uv from the PATH, else from the package index, in a folder that is gone afterwards; None without."""
    if output(["uv", "--version"]):
        yield "uv", uv_environment(sys.executable)
        return
    scratch = tempfile.mkdtemp()
    try:
        python = program(scratch, "python")
        got_it = make_venv(sys.executable, scratch) and install_uv(python)
        yield (program(scratch, "uv") if got_it else None), uv_environment(python)
    finally:
        shutil.rmtree(scratch)


def make_venv(base, folder):
    """Creates a virtual environment with pip; tells whether that worked."""
    if subprocess.call([base, "-m", "venv", "--clear", "--without-pip", folder]):
        return False
    python = program(folder, "python")
    if output([python, "-I", "-m", "ensurepip", "--upgrade", "--default-pip"]) is not None:
        return True
    if output(["uv", "pip", "install", "--python", python, "pip"], env=uv_environment(base)) is not None:
        return True
    wheel = debian_pip(folder)
    if wheel is None:
        return False
    return not subprocess.call([python, wheel + "/pip", "install", "--quiet", "--no-index", wheel])


def debian_pip(folder):
    """The wheel of pip that Debian and Ubuntu ship apart from Python, fetched without being root; or None."""
    package = os.path.join(folder, "debian")
    os.mkdir(package)
    if output(["apt-get", "download", "--quiet", "python3-pip-whl"], cwd=package) is None:
        return None
    for archive in glob.glob(package + "/*.deb"):
        output(["dpkg-deb", "--extract", archive, package])
    wheels = glob.glob(package + "/usr/share/python-wheels/pip-*.whl")
    return wheels[0] if wheels else None


def install(python, requirements):
    """Installs what is not installed yet; a stamp in .venv remembers the files that are."""
    stamp = os.path.join(VENV, requirements + ".installed")
    wanted = fingerprint(requirements)
    if os.path.exists(stamp) and read(stamp) == wanted:
        return
    say("installing %s, this takes some minutes" % requirements, "正在安装依赖，需要几分钟")
    path = os.path.join(ROOT, requirements)
    if not (install_uv(python) and install_with_uv(python, path)):
        say("uv cannot install this, see above; trying pip", "uv 安装失败，改用 pip")
        run(pip_install(python) + ["-r", path])
    with open(stamp, "w") as file:
        file.write(wanted)


def install_uv(python):
    """Installs the pinned uv into a virtual environment; tells whether that worked."""
    pin = re.findall("^uv==.*$", read(os.path.join(ROOT, PINS)), re.MULTILINE)[0]
    return not subprocess.call(pip_install(python) + [pin])


def pip_install(python):
    options = ["--disable-pip-version-check", "--progress-bar", "off", "--quiet"]
    return [python, "-m", "pip", "install"] + options


def install_with_uv(python, path):
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    # Else each of the many processes of a service compiles what it imports: always, where
    # PYTHONDONTWRITEBYTECODE is set, as in many containers.
    options = ["--compile-bytecode", "--python", python]
    options += ["--overrides", os.path.join(ROOT, OVERRIDES), "-r", path]
    command = [program(VENV, "uv"), "pip", "install"] + quiet + options
    return not subprocess.call(command, env=uv_environment(python))


def uv_environment(python):
    """The environment for uv, with what pip is configured to; variables of uv's own that are set win."""
    environment = dict(os.environ)
    configured = pip_configuration(python)
    for option, variable, separator in PIP_OPTIONS:
        if option in configured:
            environment.setdefault(variable, separator.join(configured[option].split()))
    if "extra-index-url" in configured:
        # As pip: whichever index has the version. By default uv looks only at the first that has the package.
        environment.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    # As pip: a company's own certificate stands in the system's store.
    environment.setdefault("UV_SYSTEM_CERTS", "1")
    # What uv downloads is for us alone: no python3.12 on the PATH, no entry in Windows' registry.
    environment.update(UV_PYTHON_INSTALL_BIN="0", UV_PYTHON_INSTALL_REGISTRY="0")
    return environment


def pip_configuration(python):
    """What pip's files and variables say of the options of `pip install`, by option."""
    listed = output([python, "-m", "pip", "config", "list"]) or ""
    lines = re.findall(r"^(global|install|:env:)\.([a-z-]+)=(.*)$", listed, re.MULTILINE)
    configured = {}  # type: dict[str, str]
    for wanted in ("global", "install", ":env:"):  # the later ones count
        configured.update(
            (option, ast.literal_eval(value)) for section, option, value in lines if section == wanted
        )
    return configured


def fingerprint(requirements):
    """Of the file and the requirements files it includes."""
    content = read(os.path.join(ROOT, requirements))
    digest = hashlib.sha256(content.encode("utf-8"))
    for line in content.splitlines():
        if line.startswith("-r "):
            digest.update(fingerprint(line[3:].strip()).encode("ascii"))
    return digest.hexdigest()


def check_libraries(python):
    """OpenCV as pip installs it for MediaPipe is linked against libraries that slim systems lack."""
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


def program(folder, name):
    """The path of a program in a virtual environment."""
    return os.path.join(folder, "Scripts" if os.name == "nt" else "bin", name)


def read(path):
    with open(path) as file:
        return file.read()


def output(command, **options):
    """What a command prints, or None if it fails or is not there; its errors are not shown."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    except OSError:
        return None
    stdout, _ = process.communicate()
    return None if process.returncode else stdout.decode("utf-8", "replace").strip()


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
