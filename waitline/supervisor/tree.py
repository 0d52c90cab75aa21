"""The supervisor's loop: processes, sockets and signals. What is decided about control is decided in ``succession``."""

from __future__ import annotations

import argparse
import os
import resource
import selectors
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from waitline.clock import Clock, SystemClock
from waitline.supervisor import output
from waitline.supervisor.channel import Channel, Message, close_all
from waitline.supervisor.children import Child, modules_from_environment, start_control, why
from waitline.supervisor.crew import PATIENCE, Crew, Died
from waitline.supervisor.door import Door, Visitor
from waitline.supervisor.estate import Vault
from waitline.supervisor.keeper import Keeper
from waitline.supervisor.restarts import ENDLESS, Patience, Restarts
from waitline.supervisor.roles import Control
from waitline.supervisor.succession import Succession

LIFELINE_GRACE_S = 0.5
"""How long a worker may take to end after its lifeline was cut, before it is killed."""
OVERSLEPT_S = 1.0
"""A wait that took so much longer than asked: this process was stopped, or the machine was."""
LONGEST_DRAIN_S = 1e9
MESSAGES_A_TURN = 64
LAST_WORDS = {"keep", "drop", "ready", "checked"}
"""What still counts from a control that is dead."""


@dataclass(slots=True, eq=False, kw_only=True)
class ControlProcess(Control):
    """A control with what we hold of it."""

    child: Child
    channel: Channel


class Supervisor:
    """One run of the platform: ``run()`` starts control and returns the exit code when everything has ended."""

    def __init__(
        self, *, modules: dict[str, str], control_args: Sequence[str] = (), patience: Patience | None = None, clock: Clock | None = None
    ) -> None:
        self._modules = modules
        self._control_args = list(control_args)
        self._clock = clock or SystemClock()
        self._crew = Crew(modules, clock=self._clock, patience=ENDLESS if patience is ENDLESS else PATIENCE)
        self._vaults: dict[Vault, int] = {}
        self._renewal: tuple[Visitor, dict[str, Any]] | None = None
        """Who waits for media workers to be replaced, and what it is told of control"""
        self._keeper = Keeper(self._crew)
        self._controls: list[ControlProcess] = []
        self._succession = Succession(self, self._clock, Restarts(patience or Patience()))
        self._selector = selectors.DefaultSelector()
        self._wake, self._wake_writer = socket.socketpair()
        self._door: Door | None = None
        self._status: dict[str, Any] = {}
        """What the active control said last of how it stands"""
        self._reloading: list[Visitor] = []
        self._handlers: dict[str, Callable[[ControlProcess, dict[str, Any]], None]] = {
            "alive": self._on_alive,
            "ready": self._on_ready,
            "standby": self._on_standby,
            "standing-by": lambda control, _: self._succession.on_standing_by(control),
            "checked": self._on_checked,
            "handed-over": lambda control, _: self._succession.on_handed_over(control),
            "door": self._on_door,
            "reloaded": self._on_reloaded,
        }

    def run(self) -> int:
        """Run until control has ended for good; everything is ended before it returns."""
        self._catch_signals()
        try:
            self._succession.begin()
            while self._succession.exit_code is None:
                self._step()
        finally:
            self._end_children()
            self._say_goodbye()
        return self._succession.exit_code

    def _catch_signals(self) -> None:
        """Turn SIGTERM, SIGINT and SIGCHLD into bytes on a socket, so that one wait sees everything."""
        self._wake.setblocking(False)
        self._wake_writer.setblocking(False)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, _noted)
        self._watch(self._wake, self._signalled)

    def _watch(self, readable: socket.socket | Channel, then: Callable[[], None]) -> None:
        self._selector.register(readable, selectors.EVENT_READ, then)

    # --- one turn of the loop

    def _step(self) -> None:
        asked_at = self._clock.now()
        due = min([at for at in (self._succession.due(), *self._crew.due()) if at is not None], default=None)
        timeout = None if due is None else max(0.0, due - asked_at)
        events = self._selector.select(timeout)
        if timeout is not None and self._clock.now() - asked_at > timeout + OVERSLEPT_S:
            self._succession.forgive()
        for key, _ in events:
            key.data()
        now = self._clock.now()
        if events and all(key.fileobj in self._vaults for key, _ in events) and self._crew.is_settled and (due is None or now < due):
            return  # calls came and went: nothing else follows from that, and it is most of what we hear
        self._reap()
        self._succession.on_time()

    def _signalled(self) -> None:
        for number in self._wake.recv(4096):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._succession.on_signal()

    def _reap(self) -> None:
        """Notice what has ended."""
        for death in self._crew.reap():
            self._worker_died(death)
        self._watch_vaults()
        self._tell_of_renewal()
        for control in [control for control in self._controls if control.child.process.poll() is not None]:
            self._read(control, only=LAST_WORDS)
            self._let_go(control)
            self._controls.remove(control)
            if control is self._succession.active:
                self._on_reloaded(control, {"ok": True, "text": "control died meanwhile: the next one reads everything anew"})
            self._succession.on_died(control, control.child.process.returncode)

    def _watch_vaults(self) -> None:
        """Read the links of the media workers there are, and write to those that something waits for."""
        vaults = {vault: selectors.EVENT_READ | (selectors.EVENT_WRITE if vault.waits else 0) for vault in self._crew.vaults()}
        for vault in [vault for vault in self._vaults if vault not in vaults]:
            self._selector.unregister(vault)
        for vault, events in vaults.items():
            if vault not in self._vaults:
                self._selector.register(vault, events, self._crew.listen)
            elif self._vaults[vault] != events:
                self._selector.modify(vault, events, self._crew.listen)
        self._vaults = vaults

    def _worker_died(self, death: Died) -> None:
        """Say so, to control too. That a control which ends, or has ended, loses its own is no news."""
        child, owner = death.child, self._succession.active
        is_owned = isinstance(owner, ControlProcess) and death.owner == owner.pid and not owner.channel.closed
        if death.owner and not is_owned:
            return
        if death.left:
            output.log(f"{child.name} (pid {child.process.pid}) left: another goes on with its calls")
            return
        reason = why(child.process.returncode)
        what_now = "another goes on with its calls" if death.goes_on else "control starts another when it needs one"
        output.log(f"{child.name} (pid {child.process.pid}) died: {reason}; {what_now}")
        if owner is not None:
            self.tell(owner, {"event": "died", "kind": child.kind, "index": child.index, "why": reason})

    # --- the hands of the succession

    def start(self, *, standby: bool) -> Control:
        """Start a control process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                child = start_control(self._modules["control"], self._control_args, theirs.fileno(), standby=standby)
            except BaseException:
                ours.close()
                raise
        control = ControlProcess(pid=child.process.pid, child=child, channel=Channel(ours))
        self._controls.append(control)
        self._watch(control.channel, lambda: self._read(control))
        return control

    def tell(self, control: Control, event: dict[str, Any]) -> None:
        """Send an event."""
        assert isinstance(control, ControlProcess)
        if not control.channel.closed:
            control.channel.send(event)

    def kill(self, control: Control) -> None:
        """SIGKILL; ``_reap`` sees to the rest."""
        assert isinstance(control, ControlProcess)
        control.child.process.kill()

    def bereave(self, control: Control) -> None:
        """End the workers of this control."""
        self._crew.bereave(control.pid)

    def announce(self, text: str) -> None:
        """Print the ready line."""
        output.announce(text)

    def log(self, text: str) -> None:
        """Tell the operator."""
        output.log(text)

    # --- what control says

    def _read(self, control: ControlProcess, only: set[str] | None = None) -> None:
        """Take what a control has said: a bounded part of it a turn, or the last words of one that is dead."""
        count = 0
        while (only is not None or count < MESSAGES_A_TURN) and (message := control.channel.receive()) is not None:
            count += 1
            if only is None or message.content.get("do") in only:
                self._take(control, message)
            else:
                close_all(message.descriptors)
        if control.channel.ended and only is None:
            self._let_go(control)
            self._succession.on_left(control)

    def _take(self, control: ControlProcess, message: Message) -> None:
        what = message.content.get("do")
        self._succession.heard(control)
        if not self._keeper.handles(what):
            close_all(message.descriptors)
            self._obey(control, message.content)
            return
        if control is not self._succession.active:
            close_all(message.descriptors)
            control.channel.send({"id": message.content.get("id"), "error": "you are not in control"})
            return
        answer = self._keeper.answer(message, owner=control.pid)
        if "id" in message.content:
            control.channel.send(answer.content, answer.send)
        elif "error" in answer.content:
            output.log(f"control (pid {control.pid}) asked for what cannot be done: {answer.content['error']}")
        close_all(answer.close)

    def _obey(self, control: ControlProcess, content: dict[str, Any]) -> None:
        """Take a fact or a wish that is not answered."""
        handler = self._handlers.get(str(content.get("do")))
        try:
            if handler is None:
                raise KeyError("do")
            handler(control, content)
        except (KeyError, TypeError, ValueError) as error:
            output.log(f"control (pid {control.pid}) said {str(content)[:200]}: {error!r}")
            if "id" in content:
                control.channel.send({"id": content["id"], "error": f"{content.get('do')}: {error!r}"})

    def _on_ready(self, control: ControlProcess, content: dict[str, Any]) -> None:
        self._succession.on_ready(control, f"ready http={content['http']} sip={content['sip']} pid={os.getpid()}")

    def _on_alive(self, control: ControlProcess, content: dict[str, Any]) -> None:
        if control is not self._succession.active:
            return
        self._status = content.get("status", {})
        if self._door is not None:
            self._door.publish(self._drain_status())

    def _drain_status(self) -> dict[str, Any]:
        return {"status": self._status, "left_s": self._succession.drain_left_s()}

    def _on_standby(self, control: ControlProcess, content: dict[str, Any]) -> None:
        if control is self._succession.active:
            self._succession.on_standby_wanted(wanted=bool(content["on"]))

    def _on_checked(self, control: ControlProcess, content: dict[str, Any]) -> None:
        self._succession.on_checked(control, str(content["reason"]), str(content.get("version", "")))

    # --- what commands say

    def _on_door(self, control: ControlProcess, content: dict[str, Any]) -> None:
        if control is not self._succession.active or (self._door is not None and self._door.name == content["name"]):
            return
        try:
            door = Door(str(content["name"]))
        except OSError as error:
            output.log(f"`waitline upgrade` and `waitline drain` will not work: {error}")
            return
        if self._door is not None:  # the settings name another folder since
            self._selector.unregister(self._door.socket)
            self._door.socket.close()
        self._door = door
        self._watch(door.socket, lambda: self._admit(door))

    def _admit(self, door: Door) -> None:
        if (visitor := door.admit()) is not None:
            self._watch(visitor.link, lambda: self._listen_to(visitor))

    def _listen_to(self, visitor: Visitor) -> None:
        order = visitor.order()
        if visitor.gone:
            self._selector.unregister(visitor.link)
            visitor.close()
        elif order is not None:
            self._order(visitor, order)

    def _order(self, visitor: Visitor, order: dict[str, Any]) -> None:
        match order:
            case {"do": "upgrade"}:
                self._succession.on_upgrade(lambda answer: self._upgraded(visitor, answer, media=order.get("media") is True))
            case {"do": "reload"}:
                self._reload(visitor)
            case {"do": "drain", "deadline_s": int() | float() as deadline_s} if 0 <= deadline_s <= LONGEST_DRAIN_S:
                output.log("draining, as `waitline drain` says")
                visitor.follows_drain = True
                self._succession.on_drain(deadline_s)
                visitor.say({"status": {}, "left_s": self._succession.drain_left_s()})
            case {"do": "status"}:
                visitor.say({"done": True, "ok": True, **self._drain_status(), "draining": self._succession.draining})
            case _:
                visitor.say({"done": True, "ok": False, "text": "the running platform does not know this command"})

    def _reload(self, visitor: Visitor) -> None:
        """Have control read its files again; the visitor hears what came of it."""
        control = self._succession.active
        if control is None:
            visitor.say({"done": True, "ok": True, "text": "control is being started: it reads everything anew"})
            return
        self._reloading.append(visitor)
        self.tell(control, {"event": "reload"})

    def _on_reloaded(self, control: ControlProcess, content: dict[str, Any]) -> None:
        waiting, self._reloading = self._reloading, []
        for visitor in waiting:
            visitor.say({"done": True, "ok": bool(content["ok"]), "text": str(content["text"])})

    def _upgraded(self, visitor: Visitor, answer: dict[str, Any], *, media: bool) -> None:
        """Say what became of an upgrade of control, or go on with the media workers."""
        if not answer.get("ok"):
            visitor.say(answer)
            return
        self._crew.age()
        if not media:
            visitor.say(answer)
            return
        try:
            self._crew.renew()
        except OSError as error:
            visitor.say({**answer, "ok": False, "text": f"{answer['text']}; media workers stay: {error}"})
            return
        self._renewal = visitor, answer

    def _tell_of_renewal(self) -> None:
        """Say that all media workers are replaced, or which are not."""
        if self._renewal is None or self._crew.renewing:
            return
        (visitor, answer), self._renewal = self._renewal, None
        failures = self._crew.failures
        text = "; ".join([answer["text"], *(failures or ["media workers are replaced"])])
        output.log(f"upgrade: {text}")
        visitor.say({**answer, "ok": not failures, "text": text})

    # --- the end

    def _let_go(self, control: ControlProcess) -> None:
        """Close our end of a control's link."""
        if not control.channel.closed:
            self._selector.unregister(control.channel)
            control.channel.close()

    def _end_children(self) -> None:
        """Cut all lifelines, wait a moment, kill what is left. Nothing of ours runs when it returns."""
        for control in self._controls:
            control.channel.close()
        children = [control.child for control in self._controls] + self._crew.end()
        deadline = self._clock.now() + LIFELINE_GRACE_S
        for child in children:
            try:
                child.process.wait(max(0.0, deadline - self._clock.now()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._keeper.close()

    def _say_goodbye(self) -> None:
        """Tell whoever waits for the end that it has come."""
        if self._door is not None:
            self._door.publish({"done": True, "ok": self._succession.exit_code == 0, "text": "ended"})


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the signal's number has been written to the wake-up socket."""


def raise_file_limit() -> None:
    """Take all open files that we may have: a leg's ports are kept here too. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(argv: Sequence[str]) -> int:
    """``waitline serve``: run the platform; returns the exit code."""
    parser = argparse.ArgumentParser(prog="waitline serve", add_help=False)
    parser.add_argument("--config", metavar="FILE")
    options = parser.parse_args(argv)
    control_args = ["--config", options.config] if options.config else []
    raise_file_limit()
    patience = ENDLESS if os.environ.get("WAITLINE_DRILL") else Patience()
    return Supervisor(modules=modules_from_environment(), control_args=control_args, patience=patience).run()
