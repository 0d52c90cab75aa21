"""What all parts of one user agent share: its randomness, its timers, its transactions, and the two lists that the shell drains."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from waitline.bridge.sip.events import Event, Send
from waitline.bridge.sip.flow import Flow
from waitline.bridge.sip.message import Request, Response
from waitline.bridge.sip.timers import TimerQueue, Timers
from waitline.bridge.sip.transaction import Transaction, TransactionLayer

if TYPE_CHECKING:
    from waitline.bridge.sip.session import Session


class Context:
    """One per user agent, passed to whatever belongs to it."""

    def __init__(self, *, random: Random, timers: Timers, agent: str) -> None:
        self._random = random
        self.timers = timers
        self.agent = agent
        self.queue = TimerQueue()
        self.sends: list[Send] = []
        self.held: list[Send] = []
        self.facts: list[Event] = []
        self.transactions = TransactionLayer(timers=timers, queue=self.queue, send=self.send)
        self.sessions = SessionTable()

    def send(self, flow: Flow, data: bytes, *, held: bool = False) -> None:
        """Queue octets for the shell; ``held``: not to be sent before everything that happened is durable."""
        (self.held if held else self.sends).append(Send(flow, data))

    def emit(self, event: Event) -> None:
        """Queue a fact for the layer above."""
        self.facts.append(event)

    def token(self) -> str:
        """64 random bits as text: a tag, a handle, an exchange (§19.3 asks for 32)."""
        return f"{self._random.getrandbits(64):016x}"

    def branch(self) -> str:
        """A branch that no other transaction has (§8.1.1.7)."""
        return f"z9hG4bK{self._random.getrandbits(64):016x}"

    def pause(self) -> int:
        """A random Retry-After of 1 to 10 seconds (§14.2)."""
        return self._random.randint(1, 10)


class SessionTable:
    """Every session, by handle and by what identifies its dialog on the wire; those on TCP also by connection."""

    def __init__(self) -> None:
        self._by_handle: dict[str, Session] = {}
        self._by_key: dict[tuple[str, str, str], Session] = {}
        self._by_flow: dict[Flow, set[str]] = {}

    def __len__(self) -> int:
        return len(self._by_handle)

    def add(self, session: Session) -> None:
        """Make the session findable."""
        self._by_handle[session.dialog.handle] = session
        self._by_key[session.dialog.key] = session
        self.watch(session)

    def remove(self, session: Session) -> None:
        """Forget it."""
        self._by_handle.pop(session.dialog.handle, None)
        if self._by_key.get(session.dialog.key) is session:
            del self._by_key[session.dialog.key]
        self.unwatch(session)

    def get(self, handle: str) -> Session | None:
        """The session of a handle, None if it is gone."""
        return self._by_handle.get(handle)

    def find(self, call_id: str, local_tag: str, remote_tag: str) -> Session | None:
        """The session of a dialog (§12.2.2), None if there is none."""
        return self._by_key.get((call_id, local_tag, remote_tag))

    def watch(self, session: Session) -> None:
        """Remember which connection the dialog lives on."""
        if session.dialog.flow.connection:
            self._by_flow.setdefault(session.dialog.flow, set()).add(session.dialog.handle)

    def unwatch(self, session: Session) -> None:
        """The dialog leaves its connection."""
        if handles := self._by_flow.get(session.dialog.flow):
            handles.discard(session.dialog.handle)
            if not handles:
                del self._by_flow[session.dialog.flow]

    def on(self, flow: Flow) -> list[Session]:
        """The sessions that live on a connection."""
        return [self._by_handle[handle] for handle in sorted(self._by_flow.get(flow, ()))]


class Silent:
    """The owner of transactions whose outcome nobody awaits."""

    def response_received(self, transaction: Transaction, response: Response, now: float) -> None:
        """Whatever it says."""

    def ack_received(self, transaction: Transaction, request: Request, now: float) -> None:
        """Nothing to acknowledge."""

    def transaction_failed(self, transaction: Transaction, status: int, now: float) -> None:
        """Nobody waits."""
