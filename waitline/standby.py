"""How a standby starts: everything is imported at low priority, then it waits as if it had been started long ago.

Run as ``python -m waitline.standby MODULE ARGS…``. It begins when another control has just become ready, with calls to catch up on, and
must not take the processor from it. A process without privileges cannot raise its priority again, and one that goes on as control must not
be a slow one for ever. Linux has priorities for threads: the one that imports is nice and ends; the one that goes on never was.

Code that cannot be imported cannot say so itself: it is said here, so that an upgrade to it is refused with the reason.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import sys
import threading
from collections.abc import Sequence
from types import ModuleType

NICENESS = 5
"""A quarter of a contested core: enough that an upgrade is through within its limit on a busy machine."""


class _Importing(threading.Thread):
    def __init__(self, name: str) -> None:
        super().__init__(name="importing")
        self._module = name
        self.result: ModuleType | BaseException = RuntimeError("not run")

    def run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            self.result = importlib.import_module(self._module)
        except BaseException as error:  # raised again where it is of use
            self.result = error


def import_calmly(name: str) -> ModuleType:
    """Import a module in a thread of low priority; raises what the import raises."""
    thread = _Importing(name)
    thread.start()
    thread.join()
    if isinstance(thread.result, BaseException):
        raise thread.result
    return thread.result


def main(arguments: Sequence[str]) -> int:
    """Import the module, and have its ``main`` go on with the arguments."""
    try:
        module = import_calmly(arguments[0])
    except BaseException as error:
        refuse(f"it cannot be imported: {type(error).__name__}: {error}")
        raise
    return int(module.main(list(arguments[1:])))


def refuse(reason: str) -> None:
    """Tell the supervisor, by nothing but the standard library, why this code cannot take over."""
    with contextlib.suppress(KeyError, ValueError, OSError):  # nobody started us, or nobody is there any more
        link = socket.socket(fileno=os.dup(int(os.environ["WAITLINE_SUPERVISOR_FD"])))
        with link:
            link.send(json.dumps({"do": "checked", "reason": reason}).encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
