"""Processes that tests start: each is ended by its own PID, and waits are woken by the kernel (pidfd), never by sleeping."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import Any


def wait_for_exit(pid: int, within_s: float) -> bool:
    """Tell whether the process (any process, not only our child) has ended within that time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(max(0, within_s) * 1000))
    finally:
        os.close(descriptor)


def wait_for_all(pids: Sequence[int], within_s: float) -> list[int]:
    """Return those that still run when the time is over."""
    deadline = time.monotonic() + within_s
    return [pid for pid in pids if not wait_for_exit(pid, deadline - time.monotonic())]


def children(pid: int) -> list[int]:
    """Return the processes that have ``pid`` as their parent, and theirs, and so on."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended while we looked
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(parents.get(pid, []))
    for child in found:
        found.extend(parents.get(child, []))
    return found


def end(process: subprocess.Popen[Any], *, first: int = signal.SIGTERM, within_s: float = 2.0) -> int:
    """End a process that we started: ask, and kill it by its PID when it does not listen. Returns its code."""
    if process.poll() is None:
        process.send_signal(first)
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    return process.returncode


def port_is_free(kind: int, host: str, port: int) -> bool:
    """Tell whether nobody is bound to that port; ``kind`` is SOCK_DGRAM or SOCK_STREAM."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT are nobody's
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def read_line(stream, within_s: float) -> str:
    """Read one line from an unbuffered binary pipe within a deadline; returns what came so far when it ends or the time is over."""
    deadline = time.monotonic() + within_s
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([stream], [], [], max(0, deadline - time.monotonic()))[0]:
            break
        if not (byte := os.read(stream.fileno(), 1)):
            break
        line += byte
    return line.decode()


def wait_until(condition: Callable[[], object], within_s: float, told: Callable[[], str]) -> None:
    """Wait for what another process does without telling anybody, such as writing a file; fails with what ``told`` says."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {told()}"
        time.sleep(0.05)


def wait_for_growth(heard: Callable[[], Sized], seconds: float, within_s: float) -> None:
    """Wait until a recording at 8000 Hz that another process writes is so long."""
    wait_until(lambda: len(heard()) >= seconds * 8000, within_s, lambda: f"{len(heard()) / 8000:.2f} s heard")
