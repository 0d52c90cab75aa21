"""How a standby starts: everything is imported at low priority, then it waits as if it had been started long ago.

Run as ``python -m waitline.standby MODULE ARGS…``. It begins when another control has just become ready, with calls to catch up on, and
must not take the processor from it. A process without privileges cannot raise its priority again, and one that goes on as control must not
be a slow one for ever. Linux has priorities for threads: the one that imports is nice and ends; the one that goes on never was.
"""

from __future__ import annotations

import importlib
import os
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
    return int(import_calmly(arguments[0]).main(list(arguments[1:])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
