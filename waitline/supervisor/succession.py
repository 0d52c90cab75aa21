"""Who is in control, and who is next.

One process is active: it alone may ask for things. Beside it a standby waits, everything imported, for the word ``go``. When the active one
dies the standby goes on at once, or a new process is started; the next standby comes when the new active one is ready, not before, so that
it does not take the processor from it. A ready control whose loop says nothing for three seconds is as good as dead and is killed.

An upgrade is a death that was asked for: a candidate is started from the code on disk and checks itself; only then the active one is told
to hand over (it says so when it has, and exits with code 75), and the candidate goes on. Where the check fails nothing has changed. Where
the new one dies before it is ready, the standby, which has the code from before, goes on.

Nothing here does I/O: ``Hands`` does what is decided, ``due`` and ``on_time`` are the clock, ``exit_code`` says when all is to end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from waitline.clock import Clock
from waitline.supervisor.children import why
from waitline.supervisor.restarts import Restarts
from waitline.supervisor.roles import Answer, Control, Hands, Stage, Upgrade

SILENCE_S = 3.0
"""How long a ready control may say nothing."""
TAKE_OVER_S = 60.0
"""How long a control that takes over may need to be ready. The first has all the time it wants: it may have data to migrate."""
END_S = 3.0
"""How long control may take to end after it was told to."""
LEAVE_S = 10.0
"""How long control may take to exit after it closed its link."""
CHECK_S = 30.0
"""How long a candidate may take to start and check itself."""
HAND_OVER_S = 10.0
STANDBY_PAUSES_S = (1.0, 60.0)
"""Before a standby that died is started again: at first, and at most; doubled each time."""

EXIT_CONFIG = 2
EXIT_HANDED_OVER = 75


@dataclass(slots=True)
class _Timers:
    at: dict[str, float] = field(default_factory=dict)

    def take_due(self, now: float) -> list[str]:
        due = [name for name, at in self.at.items() if at <= now]
        for name in due:
            del self.at[name]
        return due


class Succession:
    """See the module."""

    def __init__(self, hands: Hands, clock: Clock, restarts: Restarts) -> None:
        self._hands = hands
        self._clock = clock
        self._restarts = restarts
        self._timers = _Timers()
        self._upgrade: Upgrade | None = None
        self._wants_standby = False
        self._standby_pause_s = 0.0
        self._was_ready = False
        self._retired: Control | None = None
        self._orders = 0
        self._draining = False
        self._drain_until: float | None = None
        self.active: Control | None = None
        self.standby: Control | None = None
        self.exit_code: int | None = None

    def begin(self) -> None:
        """Start the first control."""
        self.active = self._hands.start(standby=False)
        self.active.active_since = self._clock.now()

    # --- what control says

    def heard(self, control: Control) -> None:
        """Any word of it counts as a sign of life."""
        control.heard_at = self._clock.now()

    def on_ready(self, control: Control, line: str) -> None:
        """Control serves. The line is printed for the first only: who waits for it waits once."""
        if control is not self.active:
            return
        control.ready = True
        self._timers.at.pop("take-over", None)
        if not self._was_ready:
            self._was_ready = True
            self._hands.announce(line)
        else:
            self._hands.log(f"control (pid {control.pid}) is ready after {self._lived(control):.2f} s")
        if self._upgrade is not None and self._upgrade.candidate is control:
            self._upgraded(self._upgrade)
        self._have_standby()

    def on_standby_wanted(self, *, wanted: bool) -> None:
        """Control has read in the settings whether there is to be a standby."""
        self._wants_standby = wanted
        if wanted:
            self._have_standby()
        else:
            self._dismiss_standby()

    def on_standing_by(self, control: Control) -> None:
        """A standby has imported everything."""
        if control is self.standby:
            self._standby_pause_s = 0.0
            self._hands.log(f"standby (pid {control.pid}) stands by")

    def on_checked(self, control: Control, reason: str, version: str) -> None:
        """A candidate has checked itself; an empty reason is good."""
        upgrade = self._upgrade
        if upgrade is None or control is not upgrade.candidate or upgrade.stage is not Stage.CHECKING or self.active is None:
            return
        if reason:
            self._refuse(f"the new version does not pass its self-check: {reason}")
            return
        now = self._clock.now()
        upgrade.stage, upgrade.since, upgrade.version = Stage.HANDING_OVER, now, version
        self._timers.at.pop("check", None)
        self._timers.at["hand-over"] = now + HAND_OVER_S
        self._hands.log(f"upgrade: control (pid {self.active.pid}) hands over to version {version} (pid {control.pid})")
        self._hands.tell(self.active, {"event": "hand_over"})

    def on_handed_over(self, control: Control) -> None:
        """The active one has let go of everything; that its process takes a while to end is nobody's wait."""
        upgrade = self._upgrade
        if upgrade is not None and upgrade.stage is Stage.HANDING_OVER and control is self.active and not control.condemned:
            self._relieve(control)
            self._retired = control
            self._timers.at["retire"] = self._clock.now() + LEAVE_S
            self._go_on(upgrade)

    def on_left(self, control: Control) -> None:
        """Control closed its link: it is on its way out, and has no more to say."""
        if control is self.active and not control.condemned:
            self._timers.at.setdefault("leave", self._clock.now() + LEAVE_S)

    # --- what the operator says

    def on_signal(self) -> None:
        """SIGTERM or SIGINT: the first drains, the second ends."""
        self._orders += 1
        if self._orders == 1:
            self._hands.log("draining; a second signal ends at once")
            self.on_drain(self.drain_left_s())
        elif self._orders == 2:
            self._end()

    def on_drain(self, deadline_s: float | None) -> None:
        """Take no new work, and end when all is done or the time is over; None leaves the time to control's settings."""
        self._draining = True
        self._drain_until = None if deadline_s is None else self._clock.now() + deadline_s
        if self.active is not None:
            self._tell_to_drain(self.active)

    def on_upgrade(self, answer: Answer) -> None:
        """Replace control by the code on disk; ``answer`` is called once, with what became of it."""
        refusal = self._against_upgrade()
        if not refusal:
            try:
                candidate = self._hands.start(standby=True)
            except OSError as error:
                refusal = f"a new control cannot be started: {error}"
            else:
                self._upgrade = Upgrade(candidate=candidate, answer=answer)
                self._timers.at["check"] = self._clock.now() + CHECK_S
                self._hands.tell(candidate, {"event": "check"})
                self._hands.log(f"upgrade: checking the code on disk (pid {candidate.pid})")
        if refusal:
            answer({"done": True, "ok": False, "text": refusal})

    @property
    def draining(self) -> bool:
        """Whether no new work is taken any more."""
        return self._draining

    def drain_left_s(self) -> float | None:
        """Return how long a drain may still last; None where there is none, or none with a deadline."""
        return None if self._drain_until is None else max(0.0, self._drain_until - self._clock.now())

    # --- deaths

    def on_died(self, control: Control, code: int) -> None:
        """A control process has ended: ``code`` as subprocess gives it, negative for a signal."""
        if control is self.active:
            self._active_died(control, code)
        elif control is self.standby:
            self._standby_died(control, code)
        elif control is self._retired:
            self._retired = None
            self._timers.at.pop("retire", None)
        elif self._upgrade is not None and control is self._upgrade.candidate:
            self._candidate_died(self._upgrade, code)

    def _relieve(self, control: Control) -> None:
        """Have nobody in control, and none of its deadlines."""
        self.active = None
        for name in ("leave", "take-over", "kill", "hand-over"):
            self._timers.at.pop(name, None)
        self._hands.bereave(control)

    def _active_died(self, dead: Control, code: int) -> None:
        self._relieve(dead)
        if (exit_code := self._ends_with(code)) is not None:
            self._stop(exit_code, f"control ended: {why(code)}" if code else "ended")
        elif self._upgrade is not None and self._upgrade.stage is Stage.HANDING_OVER:
            if code != EXIT_HANDED_OVER:
                self._hands.log(f"upgrade: control (pid {dead.pid}) did not hand over: {why(code)}; the new one recovers what is kept")
            self._go_on(self._upgrade)
        else:
            self._replace(dead, code)

    def _ends_with(self, code: int) -> int | None:
        """Return the exit code of the tree if this end of control is everything's."""
        if self._orders >= 2 and code == EXIT_HANDED_OVER:
            return 0
        if self._orders >= 2 or (code == EXIT_CONFIG and not self._was_ready) or (code == 0 and self._draining):
            return code if code >= 0 else 128 - code
        return None

    def _replace(self, dead: Control, code: int) -> None:
        now = self._clock.now()
        lived_s = self._lived(dead)
        pause_s = self._restarts.pause_after(lived_s=lived_s, now=now)
        reason = f"{why(code)} ({dead.condemned})" if dead.condemned else why(code)
        text = f"control (pid {dead.pid}) died after {lived_s:.1f} s: {reason}"
        if pause_s is None:
            patience = self._restarts.patience
            self._stop(1, f"{text}; giving up: {patience.deaths} deaths within {patience.within_s:g} s")
            return
        heir = f"the standby (pid {self.standby.pid}) takes over" if self.standby else "starting another"
        text = f"{text}; {heir} in {pause_s:g} s" if pause_s else f"{text}; {heir}"
        self._hands.log(text)
        self._upgrade_failed(text)
        if pause_s:
            self._timers.at["start"] = now + pause_s
        else:
            self._succeed()

    def _succeed(self) -> None:
        """Put the standby, or a new process, in the place of the active one."""
        heir, self.standby = self.standby, None
        if heir is not None:
            self._timers.at.pop("standby", None)
            self._promote(heir)
            return
        try:
            self._activate(self._hands.start(standby=False))
        except OSError as error:  # no process, no descriptor: it may pass
            pause_s = self._restarts.pause_after(lived_s=0.0, now=self._clock.now())
            if pause_s is None:
                self._stop(1, f"control cannot be started: {error}; giving up")
                return
            self._hands.log(f"control cannot be started: {error}; again in {pause_s:g} s")
            self._timers.at["start"] = self._clock.now() + pause_s

    def _promote(self, control: Control) -> None:
        self._hands.tell(control, {"event": "go"})
        self._activate(control)

    def _activate(self, control: Control) -> None:
        self.active = control
        control.active_since = control.heard_at = self._clock.now()
        if self._was_ready:
            self._timers.at["take-over"] = self._clock.now() + TAKE_OVER_S
        if self._draining:
            self._tell_to_drain(control)

    def _lived(self, control: Control) -> float:
        return self._clock.now() - control.active_since

    # --- the standby

    def _have_standby(self) -> None:
        """Start a standby if one is wanted, and nothing more urgent is going on."""
        is_quiet = self.active is not None and self.active.ready and self._orders < 2 and "standby" not in self._timers.at
        if not self._wants_standby or not is_quiet or self.standby is not None:
            return
        try:
            self.standby = self._hands.start(standby=True)
        except OSError as error:
            self._hands.log(f"a standby cannot be started: {error}; again in {self._next_standby_pause():g} s")

    def _standby_died(self, dead: Control, code: int) -> None:
        self.standby = None
        self._hands.log(f"standby (pid {dead.pid}) died: {why(code)}; another in {self._next_standby_pause():g} s")

    def _next_standby_pause(self) -> float:
        first_s, longest_s = STANDBY_PAUSES_S
        self._standby_pause_s = min(longest_s, max(first_s, 2 * self._standby_pause_s))
        self._timers.at["standby"] = self._clock.now() + self._standby_pause_s
        return self._standby_pause_s

    def _dismiss_standby(self) -> None:
        dismissed, self.standby = self.standby, None
        if dismissed is not None:
            self._hands.kill(dismissed)

    # --- an upgrade

    def _against_upgrade(self) -> str:
        if self._upgrade is not None:
            return "another upgrade is under way"
        if self._draining or self._orders:
            return "the platform is draining"
        if self.active is None or not self.active.ready:
            return "control is not ready"
        return ""

    def _refuse(self, reason: str) -> None:
        """Leave everything as it was."""
        upgrade, self._upgrade = self._upgrade, None
        self._timers.at.pop("check", None)
        if upgrade is not None:
            self._hands.log(f"upgrade refused: {reason}")
            self._hands.kill(upgrade.candidate)
            upgrade.answer({"done": True, "ok": False, "text": reason})

    def _candidate_died(self, upgrade: Upgrade, code: int) -> None:
        if upgrade.stage is Stage.CHECKING:
            self._refuse(f"the new version died while it checked itself: {why(code)}; its last words are in the platform's log")
        # Later nobody can call the old control back: it ends, and the standby goes on.
        elif upgrade.stage is Stage.HANDING_OVER:
            self._upgrade_failed(f"the new version died before it was in control: {why(code)}")

    def _go_on(self, upgrade: Upgrade) -> None:
        """Put the candidate in control."""
        upgrade.stage = Stage.STARTING
        self._promote(upgrade.candidate)

    def _upgraded(self, upgrade: Upgrade) -> None:
        self._upgrade = None
        took_s = self._clock.now() - upgrade.since
        text = (
            f"version {upgrade.version} (pid {upgrade.candidate.pid}) is in control, {took_s:.2f} s after the old one was told to hand over"
        )
        self._hands.log(f"upgrade: {text}")
        self._dismiss_standby()  # it has the code from before
        upgrade.answer({"done": True, "ok": True, "text": text})

    def _upgrade_failed(self, reason: str) -> None:
        """Say so, where one is under way; the death that was the reason is then handled like any."""
        upgrade, self._upgrade = self._upgrade, None
        self._timers.at.pop("check", None)
        if upgrade is None:
            return
        if upgrade.stage is Stage.CHECKING:
            self._hands.kill(upgrade.candidate)
        upgrade.answer({"done": True, "ok": False, "text": f"the upgrade failed: {reason}"})

    # --- the end

    def _tell_to_drain(self, control: Control) -> None:
        left_s = self.drain_left_s()
        self._hands.tell(control, {"event": "drain"} if left_s is None else {"event": "drain", "deadline_s": left_s})

    def _end(self) -> None:
        if self.active is None:
            self._stop(0, "ended while there was no control")
            return
        self._hands.tell(self.active, {"event": "end"})
        self._timers.at["kill"] = self._clock.now() + END_S

    def _stop(self, exit_code: int, text: str) -> None:
        self._hands.log(text)
        self._upgrade_failed(text)
        self.exit_code = exit_code

    # --- time

    def due(self) -> float | None:
        """Return when ``on_time`` wants to be called, None for never."""
        return min([*self._timers.at.values(), *self._pulse_due()], default=None)

    def on_time(self) -> None:
        """Do what is due."""
        now = self._clock.now()
        for name in self._timers.take_due(now):
            self._at(name)
        if any(due <= now for due in self._pulse_due()):
            self._condemn(f"it had said nothing for {SILENCE_S:g} s")

    def forgive(self) -> None:
        """Count silence from now: we were asleep ourselves, and what was said meanwhile may be under way."""
        if self.active is not None:
            self.active.heard_at = self._clock.now()

    def _at(self, name: str) -> None:
        match name:
            case "start":
                self._succeed()
            case "standby":
                self._have_standby()
            case "kill":
                self._hands.log(f"control did not end within {END_S:g} s of being told to: killing it")
                self._condemn("it did not end")
            case "retire" if self._retired is not None:
                self._hands.kill(self._retired)
            case "leave":
                self._condemn(f"it closed its link and did not exit within {LEAVE_S:g} s")
            case "take-over":
                self._condemn(f"it was not ready {TAKE_OVER_S:g} s after its start")
            case "check":
                self._refuse(f"the new version did not answer within {CHECK_S:g} s")
            case "hand-over":
                self._condemn(f"it did not hand over within {HAND_OVER_S:g} s")

    def _pulse_due(self) -> list[float]:
        """Return when the active control will have been silent for too long. One that was told to go has deadlines of its own."""
        control = self.active
        if control is None or not control.ready or control.condemned or {"kill", "leave", "hand-over"} & self._timers.at.keys():
            return []
        return [control.heard_at + SILENCE_S]

    def _condemn(self, reason: str) -> None:
        if self.active is not None and not self.active.condemned:
            self.active.condemned = reason
            self._hands.kill(self.active)
