"""SIPp: one scenario, bounded in time, with what it logged at hand when it fails.

SIPp's own retransmissions are off (``-nr``): on loopback nothing is lost, and with them SIPp would swallow the duplicates that the probes
are about. ``start`` runs a scenario beside the test, ``run`` to its end.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.ports import free_block
from harness.processes import end

SCENARIOS = Path(__file__).parents[2] / "sip-configs" / "sipp"


def available() -> bool:
    return shutil.which("sipp") is not None


@dataclass
class Sipp:
    """A run; ``wait`` ends it."""

    process: subprocess.Popen[bytes]
    folder: Path
    timeout_s: float
    port: int
    rtp_port: int

    def wait(self) -> None:
        """Wait for the end; fails with the log where a call did not go as the scenario says."""
        try:
            code = self.process.wait(self.timeout_s + 5)
        finally:
            end(self.process)
        assert code == 0, f"sipp ended with {code}\n{self.errors()}\n{self.messages()}"

    def __enter__(self) -> Sipp:
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)

    def errors(self) -> str:
        """Return what went wrong in SIPp's words."""
        return _read(self.folder / "errors.log") + _read(self.folder / "screen.log")[-2000:]

    def messages(self) -> str:
        """Return every SIP message sent and received."""
        return _read(self.folder / "messages.log")


def start(
    scenario: str,
    server: tuple[str, int],
    folder: Path,
    *,
    service: str = "+15550100",
    calls: int = 1,
    timeout_s: float = 20.0,
    transport: str = "u1",
    arguments: tuple[str, ...] = (),
) -> Sipp:
    """Start ``sip-configs/sipp/SCENARIO.xml`` against the server; ``service`` is whom it calls."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_block(12)
    command = [
        "timeout", "-k", "2", f"{timeout_s + 2:g}",
        "sipp", f"{server[0]}:{server[1]}", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-s", service, "-t", transport,
        "-i", "127.0.0.1", "-p", str(port), "-mi", "127.0.0.1", "-mp", str(port + 2),
        "-m", str(calls), "-l", str(calls), "-r", "10", "-nostdin", "-nr", "-timeout", f"{timeout_s:g}", "-timeout_error",
        "-trace_err", "-error_file", str(folder / "errors.log"), "-trace_msg", "-message_file", str(folder / "messages.log"),
        *arguments,
    ]  # fmt: skip
    with open(folder / "screen.log", "wb") as screen:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=screen, stderr=subprocess.STDOUT)
    return Sipp(process, folder, timeout_s, port, port + 2)


def run(scenario: str, server: tuple[str, int], folder: Path, **options: object) -> Sipp:
    """Run a scenario to its end; the options are those of ``start``."""
    sipp = start(scenario, server, folder, **options)  # type: ignore[arg-type]
    sipp.wait()
    return sipp


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
