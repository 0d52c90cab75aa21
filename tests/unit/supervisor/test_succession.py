"""Who is in control: the rules alone, with hands that only note what they were told to do."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from waitline.clock import VirtualClock
from waitline.supervisor.restarts import Patience, Restarts
from waitline.supervisor.roles import Control
from waitline.supervisor.succession import Succession

LINE = "ready http=127.0.0.1:8080 sip=127.0.0.1:5060 pid=1"
KILLED = -9


@dataclass
class Hands:
    """Notes everything. Process numbers count from 1."""

    done: list[Any] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)
    started: list[Control] = field(default_factory=list)
    fails: bool = False

    def start(self, *, standby: bool) -> Control:
        if self.fails:
            raise OSError(11, "no more processes")
        self.started.append(Control(pid=len(self.started) + 1))
        self.done.append(("standby" if standby else "start", self.started[-1].pid))
        return self.started[-1]

    def tell(self, control: Control, event: dict[str, Any]) -> None:
        self.done.append((event["event"], control.pid))

    def kill(self, control: Control) -> None:
        self.done.append(("kill", control.pid))

    def bereave(self, control: Control) -> None:
        self.done.append(("bereave", control.pid))

    def announce(self, text: str) -> None:
        self.printed.append(text)

    def log(self, text: str) -> None:
        self.logged.append(text)

    def taken(self) -> list[Any]:
        """Return what was done since the last question."""
        taken, self.done = self.done, []
        return taken


class Play:
    """A succession with its hands and a clock that the test moves."""

    def __init__(self, *, standby: bool = True, patience: Patience | None = None) -> None:
        self.now = 100.0
        self.hands = Hands()
        self.rules = Succession(self.hands, VirtualClock(lambda: self.now), Restarts(patience or Patience()))
        self.answers: list[dict[str, Any]] = []
        self.rules.begin()
        if standby:
            self.rules.on_standby_wanted(wanted=True)

    @property
    def active(self) -> Control:
        assert self.rules.active is not None
        return self.rules.active

    def ready(self) -> "Play":
        self.rules.heard(self.active)
        self.rules.on_ready(self.active, LINE)
        self.hands.taken()
        return self

    def dies(self, control: Control | None = None, code: int = KILLED) -> list[Any]:
        self.rules.on_died(control or self.active, code)
        return self.hands.taken()

    def wait(self, seconds: float) -> list[Any]:
        """Let time go by as the loop does: from one deadline to the next. Who is in control goes on talking."""
        end = self.now + seconds
        while (due := self.rules.due()) is not None and due <= end:
            self.now = max(self.now, due)
            self.rules.on_time()
        self.now = end
        return self.hands.taken()

    def upgrade(self) -> Control:
        self.rules.on_upgrade(self.answers.append)
        self.hands.taken()
        return self.hands.started[-1]


# --- the first


def test_the_first_control_is_started_and_its_ready_line_printed_once():
    play = Play(standby=False)
    assert play.hands.taken() == [("start", 1)]
    play.ready()
    assert play.hands.printed == [LINE]
    play.dies()
    play.ready()
    assert play.hands.printed == [LINE]
    assert "control (pid 2) is ready after 0.00 s" in play.hands.logged


def test_the_first_that_finds_a_fault_of_the_operator_ends_everything_with_its_code():
    play = Play()
    play.dies(code=2)
    assert play.rules.exit_code == 2


def test_exit_code_2_of_a_later_one_is_a_death_like_any():
    play = Play(standby=False).ready()
    assert play.dies(code=2) == [("bereave", 1), ("start", 2)]
    assert play.rules.exit_code is None


def test_a_control_that_ends_by_itself_unasked_is_replaced():
    play = Play(standby=False).ready()
    assert play.dies(code=0) == [("bereave", 1), ("start", 2)]


# --- deaths and the standby


def test_a_standby_is_started_when_control_is_ready_and_not_before():
    play = Play()
    assert play.hands.taken() == [("start", 1)]
    play.rules.on_ready(play.active, LINE)
    assert play.hands.taken() == [("standby", 2)]


def test_a_standby_takes_over_at_once_and_its_successor_waits_until_it_is_ready():
    play = Play().ready()
    assert play.dies() == [("bereave", 1), ("go", 2)]
    assert play.hands.logged[-1] == "control (pid 1) died after 0.0 s: SIGKILL; the standby (pid 2) takes over"
    play.rules.on_ready(play.active, LINE)
    assert play.hands.taken() == [("standby", 3)]


def test_the_second_quick_death_waits_half_a_second_and_the_standby_waits_with_it():
    play = Play().ready()
    play.dies()
    play.ready()
    assert play.dies() == [("bereave", 2)]
    assert play.wait(0.4) == []
    assert play.wait(0.2) == [("go", 3)]


def test_ten_deaths_in_five_minutes_end_everything_with_code_1_and_the_reason():
    play = Play(standby=False).ready()
    for _ in range(9):
        play.dies()
        play.wait(10)
    play.dies()
    assert play.rules.exit_code == 1
    assert play.hands.logged[-1].endswith("SIGKILL; giving up: 10 deaths within 300 s")


def test_a_control_that_cannot_be_started_is_tried_again():
    play = Play(standby=False).ready()
    play.hands.fails = True
    assert play.dies() == [("bereave", 1)]
    assert "again in 0.5 s" in play.hands.logged[-1]
    play.hands.fails = False
    assert play.wait(0.5) == [("start", 2)]


def test_a_standby_that_dies_is_followed_by_another_after_growing_pauses():
    play = Play().ready()
    assert play.dies(play.rules.standby) == []
    assert play.hands.logged[-1] == "standby (pid 2) died: SIGKILL; another in 1 s"
    play.active.condemned = "quiet"  # its pulse is no part of this
    assert play.wait(1) == [("standby", 3)]
    play.dies(play.rules.standby)
    assert play.hands.logged[-1] == "standby (pid 3) died: SIGKILL; another in 2 s"
    play.wait(2)
    assert play.rules.standby is not None
    play.rules.on_standing_by(play.rules.standby)
    play.dies(play.rules.standby)
    assert play.hands.logged[-1].endswith("another in 1 s")


def test_a_standby_that_cannot_be_started_is_tried_again():
    play = Play()
    play.hands.fails = True
    play.ready()
    play.hands.fails = False
    play.active.condemned = "quiet"
    assert play.wait(1) == [("standby", 2)]


def test_a_standby_that_is_not_wanted_any_more_is_ended():
    play = Play().ready()
    play.rules.on_standby_wanted(wanted=False)
    assert play.hands.taken() == [("kill", 2)]
    assert play.dies(play.hands.started[1]) == []


# --- the pulse


def test_a_ready_control_that_says_nothing_for_three_seconds_is_killed_once_and_replaced():
    play = Play().ready()
    play.rules.heard(play.active)
    assert play.wait(2.9) == []
    assert play.wait(10) == [("kill", 1)]
    assert play.dies() == [("bereave", 1), ("go", 2)]
    assert "SIGKILL (it had said nothing for 3 s); the standby" in play.hands.logged[-1]


def test_a_control_that_speaks_lives_and_one_that_is_not_ready_yet_has_time():
    play = Play()
    assert play.wait(1000) == [("start", 1)]
    play.ready()
    for _ in range(10):
        play.rules.heard(play.active)
        assert play.wait(2.9) == []


def test_silence_while_we_slept_ourselves_does_not_count():
    play = Play().ready()
    play.rules.heard(play.active)
    play.now += 60
    play.rules.forgive()
    play.rules.on_time()
    assert play.hands.taken() == []


def test_one_that_takes_over_and_is_not_ready_in_a_minute_is_killed():
    play = Play().ready()
    play.dies()
    assert play.wait(59) == []
    assert play.wait(2) == [("kill", 2)]
    play.dies()
    assert "it was not ready 60 s after its start" in play.hands.logged[-1]


def test_one_that_closed_its_link_has_ten_seconds_to_exit():
    play = Play().ready()
    play.rules.on_left(play.active)
    assert play.wait(9) == []
    assert play.wait(2) == [("kill", 1)]


# --- draining and ending


def test_the_first_signal_drains_and_its_end_is_the_end():
    play = Play().ready()
    play.rules.on_signal()
    assert play.hands.taken() == [("drain", 1)]
    play.dies(code=0)
    assert play.rules.exit_code == 0


def test_the_second_signal_ends_and_what_does_not_listen_is_killed():
    play = Play().ready()
    play.rules.on_signal()
    play.rules.on_signal()
    assert play.hands.taken() == [("drain", 1), ("end", 1)]
    assert play.wait(3) == [("kill", 1)]
    play.dies()
    assert play.rules.exit_code == 128 + 9


def test_a_second_signal_while_there_is_no_control_ends_at_once():
    play = Play(standby=False).ready()
    play.dies()
    play.dies()
    play.rules.on_signal()
    play.rules.on_signal()
    assert play.rules.exit_code == 0


def test_a_control_that_dies_while_it_drains_is_replaced_and_the_next_drains_for_the_rest_of_the_time():
    play = Play().ready()
    play.rules.on_drain(60)
    play.now += 20
    assert play.dies() == [("drain", 1), ("bereave", 1), ("go", 2), ("drain", 2)]
    assert play.rules.drain_left_s() == 40


def test_a_signal_does_not_lengthen_a_drain_with_a_deadline():
    play = Play().ready()
    play.rules.on_drain(60)
    play.rules.on_signal()
    assert play.rules.drain_left_s() == 60


# --- upgrades


def test_an_upgrade_checks_then_hands_over_then_goes_and_replaces_the_standby():
    play = Play().ready()
    old, heir, candidate = play.active, play.rules.standby, play.upgrade()
    assert play.wait(1) == []
    play.rules.on_checked(candidate, "", "2.0")
    assert play.hands.taken() == [("hand_over", 1)]
    assert play.dies(code=75) == [("bereave", 1), ("go", 3)]
    play.now += 0.25
    play.rules.on_ready(candidate, LINE)
    assert play.hands.taken() == [("kill", 2), ("standby", 4)]
    assert play.answers == [
        {"done": True, "ok": True, "text": "version 2.0 (pid 3) is in control, 0.25 s after the old one was told to hand over"}
    ]
    assert not any("died" in line for line in play.hands.logged)
    assert play.dies(heir) == play.dies(old) == []


def test_a_control_that_says_it_has_handed_over_is_not_waited_for_but_not_for_ever_either():
    play = Play().ready()
    old, candidate = play.active, play.upgrade()
    play.rules.on_checked(candidate, "", "2.0")
    play.rules.on_handed_over(old)
    assert play.hands.taken() == [("hand_over", 1), ("bereave", 1), ("go", 3)]
    play.ready()
    candidate.condemned = "its pulse is no part of this"
    assert play.wait(11) == [("kill", 1)]
    assert play.dies(old) == []
    assert play.wait(100) == []


def test_a_control_that_dies_of_itself_when_told_to_hand_over_is_followed_by_the_new_version():
    play = Play().ready()
    play.rules.on_checked(play.upgrade(), "", "2.0")
    assert play.dies(code=-11)[1:] == [("bereave", 1), ("go", 3)]
    assert "did not hand over: SIGSEGV" in play.hands.logged[-1]


def test_a_control_that_does_not_hand_over_in_ten_seconds_is_killed():
    play = Play().ready()
    play.rules.on_checked(play.upgrade(), "", "2.0")
    assert play.wait(11) == [("hand_over", 1), ("kill", 1)]
    assert play.dies()[-1] == ("go", 3)


@pytest.mark.parametrize("case", ["reason", "death", "silence"])
def test_a_version_that_does_not_pass_its_check_is_refused_and_nothing_has_changed(case):
    play = Play().ready()
    before, candidate = (play.active, play.rules.standby), play.upgrade()
    play.active.condemned = "its pulse is no part of this"
    if case == "reason":
        play.rules.on_checked(candidate, "cannot read format 7", "2.0")
    elif case == "death":
        play.dies(candidate, 1)
    else:
        play.wait(31)
    text = {"reason": "cannot read format 7", "death": "exit code 1", "silence": "did not answer within 30 s"}[case]
    assert text in play.answers[0]["text"]
    assert not play.answers[0]["ok"]
    assert (play.active, play.rules.standby) == before
    play.hands.taken()
    assert play.dies(candidate) == []
    play.upgrade()
    assert len(play.answers) == 1, "another may be tried"


def test_a_new_version_that_dies_before_it_is_ready_is_followed_by_the_standby_with_the_old_code():
    play = Play().ready()
    play.rules.on_checked(play.upgrade(), "", "2.0")
    play.dies(code=75)
    assert play.dies(code=-11) == [("bereave", 3), ("go", 2)]
    assert play.answers[0]["text"].startswith(
        "the upgrade failed: control (pid 3) died after 0.0 s: SIGSEGV; the standby (pid 2) takes over"
    )


def test_a_candidate_that_dies_while_the_old_one_hands_over_is_followed_by_the_standby():
    play = Play().ready()
    candidate = play.upgrade()
    play.rules.on_checked(candidate, "", "2.0")
    play.dies(candidate)
    assert play.dies(code=75)[-1] == ("go", 2)
    assert "died before it was in control" in play.answers[0]["text"]


def test_a_death_during_the_check_is_handled_as_always_and_ends_the_upgrade():
    play = Play().ready()
    candidate = play.upgrade()
    assert play.dies() == [("bereave", 1), ("kill", 3), ("go", 2)]
    play.rules.on_checked(candidate, "", "2.0")
    assert play.hands.taken() == []
    assert not play.answers[0]["ok"]


@pytest.mark.parametrize("case", ["another", "draining", "not ready", "no process"])
def test_an_upgrade_is_refused_where_it_makes_no_sense(case):
    play = Play()
    if case != "not ready":
        play.ready()
    if case == "another":
        play.rules.on_upgrade(lambda _: None)
    if case == "draining":
        play.rules.on_signal()
    play.hands.fails = case == "no process"
    play.rules.on_upgrade(play.answers.append)
    texts = {"another": "another upgrade", "draining": "draining", "not ready": "not ready", "no process": "no more processes"}
    assert texts[case] in play.answers[0]["text"]


def test_the_end_of_everything_answers_an_upgrade_too():
    play = Play().ready()
    play.upgrade()
    play.rules.on_signal()
    play.rules.on_signal()
    play.dies(code=0)
    assert not play.answers[0]["ok"]
