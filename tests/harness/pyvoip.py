"""Drives the softphone of ``pyvoip_phone.py``, which runs as a process of its own; nothing of pyVoIP is imported here."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from harness import audio
from harness.ports import free_block
from harness.processes import end, wait_for_growth


def available() -> bool:
    return importlib.util.find_spec("pyVoIP") is not None


class PyVoipPhone:
    """One softphone, registered at the server when it is made; use as a context manager."""

    def __init__(self, folder: Path, *, server: tuple[str, int], domain: str, user: str, password: str, tone_hz: float = 500.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        base = free_block(20)
        self._heard = folder / "heard.u8"
        self.facts: list[dict[str, Any]] = []
        self._came = threading.Condition()
        self._log = open(folder / "pyvoip.log", "wb")  # noqa: SIM115 - closed with the phone
        options = {
            "host": server[0], "domain": domain, "server-port": server[1], "user": user, "password": password, "sip-port": base,
            "rtp-low": base + 2, "rtp-high": base + 18, "tone": tone_hz, "heard": self._heard,
        }  # fmt: skip
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        command = [sys.executable, "-W", "ignore", str(Path(__file__).parent / "pyvoip_phone.py"), *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, bufsize=0)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.wait_for(event="started")["status"] == "REGISTERED"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(b"{"):  # pyVoIP prints on standard output too
                with self._came:
                    self.facts.append(json.loads(line))
                    self._came.notify_all()

    def wait_for(self, within_s: float = 10.0, **wanted: str) -> dict[str, Any]:
        """Return the first fact that has these values, such as ``state="ANSWERED"``."""

        def found() -> list[dict[str, Any]]:
            return [fact for fact in self.facts if wanted.items() <= fact.items()]

        with self._came:
            self._came.wait_for(found, within_s)
            assert found(), f"waited for {wanted}; came: {self.facts}; {Path(self._log.name).read_text(errors='replace')}"
            return found()[0]

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def dial(self, number: str) -> None:
        self._tell(f"dial {number}")

    def hang_up(self) -> None:
        self._tell("hangup")

    def wait_until_heard(self, seconds: float, *, within_s: float = 10.0) -> None:
        """Wait until that much has been heard."""
        wait_for_growth(self.heard, seconds, within_s)

    def heard(self) -> audio.Pcm:
        """Return what was heard so far, as 16-bit samples."""
        data = np.frombuffer(self._heard.read_bytes(), np.uint8) if self._heard.exists() else np.zeros(0, np.uint8)
        return ((data.astype(np.int16) - 128) << 8).astype(np.int16)

    def close(self) -> None:
        if self._process.poll() is None:
            self._tell("quit")
            try:
                self._process.wait(3)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._reader.join(3)
        end(self._process)
        self._log.close()

    def __enter__(self) -> PyVoipPhone:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
