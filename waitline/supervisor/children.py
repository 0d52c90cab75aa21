"""Starting processes that end with us.

Children are started with ``-P``, or a folder named like a module of ours (or of anybody's) in the operator's working folder would be
imported in its place. Their standard output is our standard error: ours belongs to the ready line.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MODULES = {"control": "waitline.server", "media": "waitline.media.worker", "clip": "waitline.media.clip_worker"}
STANDBY_MODULE = "waitline.standby"
CONTROL_FD_VARIABLE = "WAITLINE_SUPERVISOR_FD"

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True, eq=False)
class Child:
    """A process we started, with what only we hold of it."""

    kind: str
    index: int
    process: subprocess.Popen[bytes]
    lifeline: int | None = None
    """The write end; closing it tells the child to end. Control has none: its link serves."""

    @property
    def name(self) -> str:
        return self.kind if self.kind == "control" else f"{self.kind} worker {self.index}"

    def cut_lifeline(self) -> None:
        if self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None


def start_control(module: str, args: Sequence[str], link: int, *, standby: bool) -> Child:
    """Start control with its end of the link: at once, or one that imports everything and waits to be told."""
    environment = _child_environment() | {CONTROL_FD_VARIABLE: str(link)}
    started, args = (STANDBY_MODULE, [module, *args, "--standby"]) if standby else (module, list(args))
    return Child("control", 0, _start(started, args, [link], environment))


def start_worker(kind: str, index: int, module: str, args: Sequence[str], fds: Sequence[int]) -> Child:
    """Start a worker with ``fds`` inherited and the read end of a new lifeline."""
    read_end, write_end = os.pipe()
    try:
        process = _start(module, [*args, "--lifeline", str(read_end)], [*fds, read_end], _child_environment())
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    return Child(kind, index, process, write_end)


def why(returncode: int) -> str:
    """Say how a process ended: ``SIGKILL`` or ``exit code 1``."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:  # a real-time signal has no name
        return f"signal {-returncode}"


def modules_from_environment() -> dict[str, str]:
    """Return which module runs as which child. Tests put a stub in the place of control or of the workers by two variables."""
    modules = dict(MODULES)
    modules["control"] = os.environ.get("WAITLINE_CONTROL_MODULE", modules["control"])
    if worker := os.environ.get("WAITLINE_WORKER_MODULE"):
        modules |= {"media": worker, "clip": worker}
    return modules


def _start(module: str, args: Sequence[str], fds: Sequence[int], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start ``python -m module args`` with ``fds`` inherited."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *args],
        stdin=subprocess.DEVNULL,
        stdout=2,
        env=environment,
        pass_fds=fds,
        start_new_session=True,
        preexec_fn=_tie_to_parent(os.getpid()),  # noqa: PLW1509 - this process has one thread
    )


def _tie_to_parent(parent: int) -> Callable[[], None]:
    """Return what runs in a new child before its program: deaf to terminal signals, killed by the kernel when the parent dies."""

    def tie() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the line above: no signal will ever come
            os._exit(1)

    return tie


def _child_environment() -> dict[str, str]:
    """Return our environment; where we run from a checkout that is not installed, the children find it too."""
    environment = dict(os.environ)
    root = str(Path(__file__).absolute().parents[2])
    if sys.path and (sys.path[0] or os.getcwd()) == root:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    return environment
