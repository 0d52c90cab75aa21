"""The parent of all processes and owner of the listening sockets.

It is meant never to fail, so it does next to nothing: it imports the standard library only, parses no SIP, no XML and no settings. It
starts control, answers control's requests (a listening socket, a shared memory file, a worker process), hands signals on as commands,
and waits. Whatever it opens it keeps under the name it was asked for, so that a control that comes back is given the same socket.

How the tree ends. Children run in sessions of their own and ignore SIGINT and SIGTERM, so a Ctrl-C reaches only the supervisor. When
the supervisor is gone, however it went, each child is killed by the kernel (PR_SET_PDEATHSIG) and, should that ever fail, reads the end
of its lifeline, a pipe whose other end only the supervisor holds. When control is gone, the supervisor ends the rest and exits with
control's code. The first SIGTERM or SIGINT asks control to drain, the second to end.

What is said over the socket (AF_UNIX SOCK_SEQPACKET, one JSON object a message; ``waitline.supervision`` is the other end)::

    control → supervisor   {"id": 1, "do": "listen", "kind": "udp", "host": "127.0.0.1", "port": 5060}
                           {"id": 2, "do": "memfd", "name": "frames", "size": 1000000}
                           {"id": 3, "do": "spawn", "kind": "media", "index": 0, "memfd": "frames", "args": []}
                           {"do": "ready", "http": "127.0.0.1:8080", "sip": "127.0.0.1:5060"}
    supervisor → control   {"id": 1, "ok": true} with descriptors (SCM_RIGHTS)   or   {"id": 1, "error": "…"}
                           {"event": "drain"}   {"event": "end"}   {"event": "died", "kind": "media", "index": 0, "why": "SIGKILL"}

A worker is started as ``python -m MODULE --index N --link FD [--frames=FD] ARGS… --lifeline FD``; the other end of its link is the
descriptor in the answer. To add a kind of child, add a line to ``MODULES``; to add a request, a method to ``Requests``.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from waitline.clock import Clock, SystemClock

MODULES = {"control": "waitline.server", "media": "waitline.media.worker", "clip": "waitline.media.clip_worker"}
CONTROL_FD_VARIABLE = "WAITLINE_SUPERVISOR_FD"
END_GRACE_S = 3.0
"""How long control may take to end after the second signal, before it is killed."""
LIFELINE_GRACE_S = 0.5
"""How long a worker may take to end after its lifeline was cut, before it is killed."""
MAX_MESSAGE_BYTES = 65_536
LISTEN_BACKLOG = 1024
PAIR_ATTEMPTS = 32
"""How often a free port is looked for that is free for UDP and for TCP."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class RequestFailed(Exception):
    """A request that control is told about in words: the text is the ``error`` of the answer."""


# --- children -----------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Child:
    """A process we started, with what only we hold of it."""

    kind: str
    index: int
    process: subprocess.Popen[bytes]
    lifeline: int | None
    """The write end; closing it tells the child to end. Control has none: its link serves."""

    @property
    def name(self) -> str:
        return self.kind if self.kind == "control" else f"{self.kind} worker {self.index}"

    def cut_lifeline(self) -> None:
        if self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None


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
    """Return our environment; where we run from a checkout that is not installed, the children find it too.

    Children are started with ``-P``, or a folder named like a module of ours (or of anybody's) in the operator's working folder
    would be imported in its place.
    """
    environment = dict(os.environ)
    root = str(Path(__file__).absolute().parent.parent)
    if sys.path and (sys.path[0] or os.getcwd()) == root:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
    return environment


def _start(module: str, args: Sequence[str], fds: Sequence[int], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start ``python -m module args`` with ``fds`` inherited. Its standard output is our standard error."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *args],
        stdin=subprocess.DEVNULL,
        stdout=2,
        env=environment,
        pass_fds=fds,
        start_new_session=True,
        preexec_fn=_tie_to_parent(os.getpid()),  # noqa: PLW1509 - this process has one thread
    )


def start_control(module: str, args: Sequence[str], link: socket.socket) -> Child:
    """Start control with its end of the link."""
    environment = _child_environment() | {CONTROL_FD_VARIABLE: str(link.fileno())}
    return Child("control", 0, _start(module, args, [link.fileno()], environment), None)


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


# --- what control may ask for -------------------------------------------------------------------------------------------------------


def open_listener(kind: str, host: str, port: int) -> socket.socket:
    """Return a bound socket, listening if it is TCP; raises RequestFailed when the address cannot be had."""
    kinds = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
    if not 0 <= port <= 65535:  # getaddrinfo would take the lower 16 bits
        raise RequestFailed(f"cannot listen on {kind} {host}:{port}: there is no such port")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kinds[kind], flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kinds[kind] | socket.SOCK_NONBLOCK)
    except (OSError, KeyError) as error:
        raise RequestFailed(f"cannot listen on {kind} {host}:{port}: {error}") from error
    try:
        if kind == "tcp":  # not for UDP, where it would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        if kind == "tcp":
            listener.listen(LISTEN_BACKLOG)
    except OSError as error:
        listener.close()
        text = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise RequestFailed(f"cannot listen on {kind} {host}:{port}: {text}") from error
    return listener


def open_pair(host: str, port: int) -> list[socket.socket]:
    """Return a UDP and a TCP socket on one port number; 0 finds one that is free for both."""
    for attempt in range(PAIR_ATTEMPTS):
        udp = open_listener("udp", host, port)
        try:
            return [udp, open_listener("tcp", host, udp.getsockname()[1])]
        except RequestFailed:
            udp.close()
            if port or attempt == PAIR_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


@dataclass(slots=True)
class Requests:
    """Answers requests and keeps what it opened: sockets by what was asked for, memory files by name."""

    start_worker: Callable[[str, int, list[str], list[int]], None]
    print_ready: Callable[[str], None]
    listeners: dict[tuple[str, str, int], list[socket.socket]] = field(default_factory=dict)
    memfds: dict[str, int] = field(default_factory=dict)

    def answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int], list[int]]:
        """Return the answer, the descriptors to send with it, and those of them to close once sent."""
        handlers = {"listen": self._listen, "memfd": self._memfd, "spawn": self._spawn, "ready": self._ready}
        try:
            send, close = handlers[request["do"]](request)
        except RequestFailed as error:
            return {"id": request.get("id"), "error": str(error)}, [], []
        except (KeyError, TypeError, ValueError, OSError) as error:
            return {"id": request.get("id"), "error": f"{request.get('do')}: {error!r}"}, [], []
        return {"id": request.get("id"), "ok": True}, send, close

    def _listen(self, request: dict[str, Any]) -> tuple[list[int], list[int]]:
        key = (request["kind"], request["host"], int(request["port"]))
        if key not in self.listeners:
            kind, host, port = key
            self.listeners[key] = open_pair(host, port) if kind == "both" else [open_listener(kind, host, port)]
        return [listener.fileno() for listener in self.listeners[key]], []

    def _memfd(self, request: dict[str, Any]) -> tuple[list[int], list[int]]:
        name = request["name"]
        if name not in self.memfds:
            descriptor = os.memfd_create(f"waitline-{name}")
            try:
                os.ftruncate(descriptor, request["size"])
            except BaseException:
                os.close(descriptor)
                raise
            self.memfds[name] = descriptor
        return [self.memfds[name]], []

    def _spawn(self, request: dict[str, Any]) -> tuple[list[int], list[int]]:
        index = int(request["index"])
        frames = [self.memfds[request["memfd"]]] if request.get("memfd") else []
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            args = ["--index", str(index), "--link", str(theirs.fileno()), *(f"--frames={descriptor}" for descriptor in frames)]
            self.start_worker(request["kind"], index, [*args, *request.get("args", [])], [theirs.fileno(), *frames])
            descriptor = ours.detach()
        return [descriptor], [descriptor]

    def _ready(self, request: dict[str, Any]) -> tuple[list[int], list[int]]:
        self.print_ready(f"ready http={request['http']} sip={request['sip']} pid={os.getpid()}")
        return [], []


# --- the supervisor -----------------------------------------------------------------------------------------------------------------


class Supervisor:
    """One run of the platform: ``run()`` starts control and returns the exit code when everything has ended."""

    def __init__(self, *, modules: dict[str, str], control_args: Sequence[str] = (), clock: Clock | None = None) -> None:
        self._modules = modules
        self._control_args = list(control_args)
        self._clock = clock or SystemClock()
        self._requests = Requests(start_worker=self._start_worker, print_ready=_print_line)
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._link: socket.socket | None = None
        self._wake, self._wake_writer = socket.socketpair()
        self._signals_seen = 0
        self._kill_at: float | None = None

    def run(self) -> int:
        """Run until control has ended; everything is ended before it returns."""
        self._catch_signals()
        control = self._start_control()
        try:
            while (code := control.process.poll()) is None:
                self._step()
                self._reap()
        finally:
            self._end_children()
        _log(f"control ended: {why(code)}" if code else "ended")
        return code if code >= 0 else 128 - code

    def _catch_signals(self) -> None:
        """Turn SIGTERM, SIGINT and SIGCHLD into bytes on a socket, so that one wait sees everything."""
        self._wake.setblocking(False)
        self._wake_writer.setblocking(False)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, _noted)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def _start_control(self) -> Child:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            control = start_control(self._modules["control"], self._control_args, theirs)
        ours.setblocking(False)
        self._link = ours
        self._selector.register(ours, selectors.EVENT_READ)
        self._children.append(control)
        return control

    def _start_worker(self, kind: str, index: int, args: list[str], fds: list[int]) -> None:
        if kind == "control" or kind not in self._modules:
            raise RequestFailed(f"there is no worker of kind {kind!r}")
        self._children.append(start_worker(kind, index, self._modules[kind], args, fds))

    # --- one turn of the loop

    def _step(self) -> None:
        timeout = None if self._kill_at is None else max(0.0, self._kill_at - self._clock.now())
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._wake:
                self._signalled(self._wake.recv(4096))
            else:
                self._read_requests()
        if self._kill_at is not None and self._clock.now() >= self._kill_at:
            _log(f"control did not end within {END_GRACE_S:g} s of being told to: killing it")
            self._children[0].process.kill()
            self._kill_at = None

    def _signalled(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGCHLD:
                continue
            self._signals_seen += 1
            if self._signals_seen == 1:
                _log("draining; a second signal ends at once")
                self._tell({"event": "drain"})
            elif self._signals_seen == 2:
                self._tell({"event": "end"})
                self._kill_at = self._clock.now() + END_GRACE_S

    def _read_requests(self) -> None:
        """Answer one request; the selector says when there is another."""
        if self._link is None:
            return
        try:
            data = self._link.recv(MAX_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:  # control closed its end; its exit is what counts, and is seen by waiting for it
            self._close_link()
            return
        request = json.loads(data)
        answer, send, close = self._requests.answer(request)
        if "id" in request:
            self._tell(answer, send)
        for descriptor in close:
            os.close(descriptor)

    def _tell(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        if self._link is None:
            return
        try:
            socket.send_fds(self._link, [json.dumps(message).encode()], list(descriptors))
        except BlockingIOError:  # over 100 unread messages: control hangs, and a report more would not help it
            _log(f"control does not read; dropped {message}")
        except (ConnectionError, BrokenPipeError):
            self._close_link()

    def _close_link(self) -> None:
        if self._link is not None:
            self._selector.unregister(self._link)
            self._link.close()
            self._link = None

    def _reap(self) -> None:
        """Forget the workers that have ended, and tell control."""
        for child in [child for child in self._children[1:] if child.process.poll() is not None]:
            self._children.remove(child)
            child.cut_lifeline()
            reason = why(child.process.returncode)
            _log(f"{child.name} (pid {child.process.pid}) died: {reason}")
            self._tell({"event": "died", "kind": child.kind, "index": child.index, "why": reason})

    # --- the end

    def _end_children(self) -> None:
        """Cut all lifelines, wait a moment, kill what is left. Nothing of ours runs when it returns."""
        self._close_link()
        for child in self._children:
            child.cut_lifeline()
        deadline = self._clock.now() + LIFELINE_GRACE_S
        for child in self._children:
            try:
                child.process.wait(max(0.0, deadline - self._clock.now()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._children.clear()


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the signal's number has been written to the wake-up socket."""


def _print_line(text: str) -> None:
    try:
        os.write(1, f"{text}\n".encode())  # not print: a standard output that is gone would be complained of at exit once more
    except OSError as error:
        _log(f"standard output is closed ({error}); would have said: {text}")


def _log(text: str) -> None:
    """Write a line to standard error; where that is gone there is nobody left to tell."""
    try:
        os.write(2, f"waitline[{os.getpid()}] supervisor: {text}\n".encode())
    except OSError:
        return


def modules_from_environment() -> dict[str, str]:
    """Return which module runs as which child. Tests put a stub in the place of control or of the workers by two variables."""
    modules = dict(MODULES)
    modules["control"] = os.environ.get("WAITLINE_CONTROL_MODULE", modules["control"])
    if worker := os.environ.get("WAITLINE_WORKER_MODULE"):
        modules |= {"media": worker, "clip": worker}
    return modules


def main(argv: Sequence[str]) -> int:
    """``waitline serve``: run the platform; returns the exit code."""
    parser = argparse.ArgumentParser(prog="waitline serve", add_help=False)
    parser.add_argument("--config", metavar="FILE")
    options = parser.parse_args(argv)
    control_args = ["--config", options.config] if options.config else []
    return Supervisor(modules=modules_from_environment(), control_args=control_args).run()
