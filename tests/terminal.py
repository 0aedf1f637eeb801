"""A program as a person in front of a terminal sees it."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from typing import Any


def on_terminal(command: list[str], **options: Any) -> str:
    """What a command shows on a terminal, its errors among the rest.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with open(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, **options)
        os.close(its)
        shown = b""
        try:
            while piece := terminal.read(4096):
                shown += piece
        except OSError:  # how Linux says that nobody writes to it any more
            pass
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, command, shown)
    return shown.decode()
