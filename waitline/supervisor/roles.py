"""What the succession is about: control processes, an upgrade under way, and the hands that do what is decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

Answer = Callable[[dict[str, Any]], None]


@dataclass(slots=True, eq=False, kw_only=True)
class Control:
    """One control process. Times are the clock's, in seconds."""

    pid: int
    active_since: float = 0.0
    heard_at: float = 0.0
    ready: bool = False
    condemned: str = ""
    """Why we killed it, if we did."""


class Hands(Protocol):
    """What the rules have done for them."""

    def start(self, *, standby: bool) -> Control:
        """Start a control process; raises OSError."""
        ...

    def tell(self, control: Control, event: dict[str, Any]) -> None:
        """Send an event."""
        ...

    def kill(self, control: Control) -> None:
        """SIGKILL."""
        ...

    def bereave(self, control: Control) -> None:
        """End what belongs to this control alone."""
        ...

    def announce(self, text: str) -> None:
        """Print the ready line."""
        ...

    def log(self, text: str) -> None:
        """Tell the operator."""
        ...


class Stage(Enum):
    """How far an upgrade is."""

    CHECKING = auto()
    HANDING_OVER = auto()
    STARTING = auto()


@dataclass(slots=True, kw_only=True)
class Upgrade:
    """An upgrade under way. ``since`` is when the old control was told to hand over."""

    candidate: Control
    answer: Answer
    stage: Stage = Stage.CHECKING
    since: float = 0.0
    version: str = ""
