"""``waitline serve`` as a process of its own, in a folder of its own, on free ports."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from harness.processes import children, end, read_line, wait_for_exit

READY = re.compile(r"ready http=(\S+):(\d+) sip=(\S+):(\d+) pid=(\d+)\n")
READY_WITHIN_S = 30.0
TESTS = Path(__file__).parent.parent
WAITLINE = Path(sys.executable).parent / "waitline"


class Log:
    """What a process writes to its standard error: kept, written to a file, and waited for."""

    def __init__(self, stream, path: Path) -> None:
        self._lines: list[str] = []
        self._grown = threading.Condition()
        self._copier = threading.Thread(target=self._copy, args=(stream, path), daemon=True)
        self._copier.start()

    def _copy(self, stream, path: Path) -> None:
        with open(path, "ab", buffering=0) as file:
            for line in stream:
                file.write(line)
                with self._grown:
                    self._lines.append(line.decode(errors="replace"))
                    self._grown.notify_all()
        stream.close()

    def text(self) -> str:
        with self._grown:
            return "".join(self._lines)

    def wait_for(self, pattern: str, within_s: float = 5.0, *, count: int = 1) -> re.Match[str]:
        """Return the first match of the pattern, or that of number ``count``; fails with the whole log when there is none in time."""

        def matches() -> list[re.Match[str]]:
            return list(re.finditer(pattern, "".join(self._lines)))

        with self._grown:
            self._grown.wait_for(lambda: len(matches()) >= count, within_s)
        found = matches()
        assert len(found) >= count, f"{pattern!r} is not in the log {count} times:\n{self.text()}"
        return found[count - 1]

    def finish(self, within_s: float = 5.0) -> None:
        """Wait until every process that holds the other end is gone."""
        self._copier.join(within_s)


@dataclass
class Serve:
    """A running platform: its addresses, its process, what it logged."""

    folder: Path
    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    log: Log
    http: tuple[str, int] = ("", 0)
    sip: tuple[str, int] = ("", 0)
    pid: int = 0

    @classmethod
    def start(cls, folder: Path, **settings: str) -> Serve:
        """Start it with WAITLINE_* ``settings`` (port 0 and a data folder unless given) and wait for the ready line."""
        serve = cls.launch(folder, **settings)
        line = read_line(serve.process.stdout, READY_WITHIN_S)
        match = READY.fullmatch(line)
        if match is None:
            serve.stop()
            raise AssertionError(f"no ready line but {line!r} (exit code {serve.process.returncode}); it logged:\n{serve.log.text()}")
        serve.http, serve.sip, serve.pid = (match[1], int(match[2])), (match[3], int(match[4])), int(match[5])
        return serve

    @classmethod
    def launch(cls, folder: Path, **settings: str) -> Serve:
        """Start it without waiting for anything."""
        defaults = {
            "WAITLINE_DATA": str(folder / "data"),
            "WAITLINE_HTTP": "127.0.0.1:0",
            "WAITLINE_SIP": "127.0.0.1:0",
            "WAITLINE_STANDBY": "false",  # a second process that loads everything, beside each platform of each test
            "PYTHONPATH": str(TESTS),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WAITLINE_")}
        environment = inherited | defaults | settings
        folder.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            [WAITLINE, "serve"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        return cls(folder=folder, process=process, environment=environment, log=Log(process.stderr, folder / "serve.log"))

    @property
    def base_url(self) -> str:
        return f"http://{self.http[0]}:{self.http[1]}"

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``waitline ARGUMENTS`` with the same settings and return what came of it."""
        return subprocess.run(
            [WAITLINE, *arguments],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def create_account(self, name: str) -> tuple[str, str]:
        """Create an account by the command; returns its sid and token."""
        done = self.command("account", "create", name, "--json")
        assert done.returncode == 0, done.stderr
        account = json.loads(done.stdout)
        return account["sid"], account["auth_token"]

    def tree(self) -> list[int]:
        """Return the PIDs of the supervisor and everything below it."""
        return [self.process.pid, *children(self.process.pid)]

    def control(self) -> int:
        """Return the PID of the active control: the one that is no standby, or the one the log last called ready."""
        ready = re.findall(r"control \(pid (\d+)\) is ready", self.log.text())
        if ready:
            return int(ready[-1])
        commands = ((pid, Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in children(self.process.pid))
        return next(pid for pid, command in commands if b"waitline.server" in command and b"--standby" not in command)

    def kill_control(self, *, deaths: int = 1) -> None:
        """SIGKILL the active control, and return when the next one is ready."""
        os.kill(self.control(), signal.SIGKILL)
        self.log.wait_for(r"control \(pid \d+\) is ready after", 15.0, count=deaths)

    def terminate(self) -> None:
        """Ask it to drain."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL the supervisor, and it alone."""
        self.process.kill()
        self.process.wait(5)

    def stop(self) -> None:
        """End it at once: the second signal does."""
        if self.process.poll() is None:
            self.terminate()
            if not wait_for_exit(self.process.pid, 0.2):
                self.terminate()
            wait_for_exit(self.process.pid, 6)
        self.process.stderr = None  # the log's thread reads and closes it
        end(self.process)
        self.log.finish()
