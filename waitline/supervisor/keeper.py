"""What outlives a control, and the requests for it.

Sockets are kept by what was asked for, memory files by name: the same question gets the same thing, from whichever control. Besides,
control may give us any descriptors under a name with some bytes (an accepted TCP connection and what of it is not parsed yet, the ports of
a leg); they are kept until it drops them, and returned by pages to a control that asks what there is.
"""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from waitline.supervisor.channel import Message, close_all
from waitline.supervisor.crew import Crew
from waitline.supervisor.listeners import RequestFailed, open_listener, open_pair

MAX_KEPT_BYTES = 32_768
MAX_KEPT_DESCRIPTORS = 16
PAGE_DESCRIPTORS = 200
MAX_NAME_CHARACTERS = 500
PAGE_CHARACTERS = 45_000
"""Of names and base64: one entry of the largest size fits."""
ENTRY_CHARACTERS = 20
"""What JSON adds to an entry."""


class Answer(NamedTuple):
    """What to send back: content, descriptors, and those of them to close once they are sent."""

    content: dict[str, Any]
    send: Sequence[int] = ()
    close: Sequence[int] = ()


@dataclass(slots=True)
class Kept:
    """Descriptors and bytes (base64) that control gave us."""

    descriptors: list[int] = field(default_factory=list)
    data: str = ""


class Keeper:
    """See the module."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._listeners: dict[tuple[str, str, int], list[socket.socket]] = {}
        self._memfds: dict[str, int] = {}
        self._kept: dict[str, Kept] = {}
        self._handlers: dict[str, Callable[[dict[str, Any], list[int], int], Answer]] = {
            "listen": self._listen,
            "memfd": self._memfd,
            "spawn": self._spawn,
            "workers": self._workers,
            "keep": self._keep,
            "drop": self._drop,
            "kept": self._page,
        }

    def handles(self, what: object) -> bool:
        """Tell whether this request is ours."""
        return what in self._handlers

    def answer(self, message: Message, *, owner: int) -> Answer:
        """Do what the control process ``owner`` asks. Descriptors that came with it and are not kept are closed."""
        content, descriptors = message
        try:
            done = self._handlers[content["do"]](content, descriptors, owner)
            return done._replace(content={"id": content.get("id"), "ok": True, **done.content})
        except RequestFailed as error:
            return Answer({"id": content.get("id"), "error": str(error)})
        except (KeyError, TypeError, ValueError, OSError) as error:
            return Answer({"id": content.get("id"), "error": f"{content.get('do')}: {error!r}"})
        finally:
            close_all(descriptors)

    def close(self) -> None:
        """Let go of everything."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.close()
        close_all(list(self._memfds.values()))
        for kept in self._kept.values():
            close_all(kept.descriptors)
        self._listeners, self._memfds, self._kept = {}, {}, {}

    # --- opened here

    def _listen(self, request: dict[str, Any], _descriptors: list[int], _owner: int) -> Answer:
        key = (request["kind"], request["host"], int(request["port"]))
        if key not in self._listeners:
            kind, host, port = key
            self._listeners[key] = open_pair(host, port) if kind == "both" else [open_listener(kind, host, port)]
        return Answer({}, [listener.fileno() for listener in self._listeners[key]])

    def _memfd(self, request: dict[str, Any], _descriptors: list[int], _owner: int) -> Answer:
        name = request["name"]
        if name not in self._memfds:
            descriptor = os.memfd_create(f"waitline-{name}")
            try:
                os.ftruncate(descriptor, request["size"])
            except BaseException:
                os.close(descriptor)
                raise
            self._memfds[name] = descriptor
        return Answer({}, [self._memfds[name]])

    def _spawn(self, request: dict[str, Any], _descriptors: list[int], owner: int) -> Answer:
        frames = [self._memfds[request["memfd"]]] if request.get("memfd") else []
        spawned = self._crew.spawn(request["kind"], int(request["index"]), request.get("args", []), frames, owner=owner)
        return Answer({"adopted": spawned.adopted}, [spawned.link], [spawned.link] if spawned.close else [])

    def _workers(self, _request: dict[str, Any], _descriptors: list[int], _owner: int) -> Answer:
        return Answer({"media": self._crew.living()})

    # --- given to us

    def _keep(self, request: dict[str, Any], descriptors: list[int], _owner: int) -> Answer:
        name, data, count = str(request["name"]), request.get("data", ""), request.get("fds")
        if count is not None and count != len(descriptors):  # the kernel drops those that would exceed our limit of open files
            raise RequestFailed(f"keep {name!r}: {len(descriptors)} of {count} descriptors arrived")
        if len(base64.b64decode(data, validate=True)) > MAX_KEPT_BYTES or len(descriptors) > MAX_KEPT_DESCRIPTORS:
            raise RequestFailed(f"keep {name!r}: at most {MAX_KEPT_BYTES} bytes and {MAX_KEPT_DESCRIPTORS} descriptors")
        if len(name) > MAX_NAME_CHARACTERS:
            raise RequestFailed(f"keep {name[:50]!r}…: a name has at most {MAX_NAME_CHARACTERS} characters")
        kept = self._kept.setdefault(name, Kept())
        kept.data = data
        if count is not None:
            close_all(kept.descriptors)
            kept.descriptors = descriptors.copy()
            descriptors.clear()
        return Answer({})

    def _drop(self, request: dict[str, Any], _descriptors: list[int], _owner: int) -> Answer:
        if (kept := self._kept.pop(request["name"], None)) is not None:
            close_all(kept.descriptors)
        return Answer({})

    def _page(self, request: dict[str, Any], _descriptors: list[int], _owner: int) -> Answer:
        """Return entries from number ``from`` on, as many as fit into a message; at least one, if there is one."""
        page: list[tuple[str, int, str]] = []
        descriptors: list[int] = []
        size = 0
        first = int(request["from"])
        names = list(self._kept)
        for name in names[first:]:
            kept = self._kept[name]
            size += len(name) + len(kept.data) + ENTRY_CHARACTERS
            if page and (size > PAGE_CHARACTERS or len(descriptors) + len(kept.descriptors) > PAGE_DESCRIPTORS):
                break
            page.append((name, len(kept.descriptors), kept.data))
            descriptors += kept.descriptors
        return Answer({"kept": page, "more": first + len(page) < len(names)}, descriptors)
