"""The supervisor's voice: one line on standard output when the platform is up, everything else on standard error."""

from __future__ import annotations

import os


def announce(text: str) -> None:
    """Print the ready line."""
    try:
        os.write(1, f"{text}\n".encode())  # not print: a standard output that is gone would be complained of at exit once more
    except OSError as error:
        log(f"standard output is closed ({error}); would have said: {text}")


def log(text: str) -> None:
    """Write a line to standard error; where that is gone there is nobody left to tell."""
    try:
        os.write(2, f"waitline[{os.getpid()}] supervisor: {text}\n".encode())
    except OSError:
        return
