"""The small C programs of the benches, compiled in each run: what they are for is in each one's head.

Without a compiler there is none; ``Missing`` says so, and ``make bench`` goes on with the figures that need none.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.processes import end

FOLDER = Path(__file__).parent
GRACE_S = 15.0


class Missing(RuntimeError):
    """Something that a figure needs is not on this machine."""


@contextmanager
def compiled(name: str) -> Iterator[str]:
    """Compile ``NAME.c`` of this folder; gives the program's path. Raises Missing."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise Missing("no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/{name}"
        done = subprocess.run([compiler, "-O2", "-o", program, str(FOLDER / f"{name}.c")], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"{name}.c does not compile here: {done.stderr.strip()[-200:]}")
        yield program


class Phones:
    """The media of many phones, a process of its own (``phones.c``)."""

    def __init__(self, program: str, count: int, *, mark: int = 0x11) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program, str(count), str(mark)], stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input, self._output = self.process.stdin, self.process.stdout
        self.ports = [int(port) for port in self._output.readline().split()]
        if len(self.ports) != count:
            raise Missing(f"{count} sockets: the limit of open files is too low")

    def talk(self, ports: Sequence[tuple[int, int]]) -> None:
        """Let flows send to ports; (flow, port) each."""
        self._input.write("".join(f"talk {flow} {port}\n" for flow, port in ports))
        self._input.flush()

    def begin(self, seconds: float) -> None:
        """Judge what comes in the next seconds; ``heard`` gives the verdict."""
        self._input.write(f"measure {seconds}\n")
        self._input.flush()

    def heard(self) -> dict[str, Any]:
        """Wait for the verdict."""
        verdict: dict[str, Any] = json.loads(self._output.readline())
        return verdict

    def close(self) -> None:
        self._input.close()
        end(self.process)
        self._output.close()


@contextmanager
def phones(count: int, *, mark: int = 0x11) -> Iterator[Phones]:
    """Compile and run so many phones."""
    with compiled("phones") as program:
        made = Phones(program, count, mark=mark)
        try:
            yield made
        finally:
            made.close()
