"""What a person reads while the demo runs: one line for each thing that happens, when it happened and who did it.

Colours where the output is a terminal, plain lines elsewhere; nothing is cut to a width, so that a pipe or a log gets whole lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from waitline.clock import Clock
from waitline.demo import documents
from waitline.demo.judge import Verdict
from waitline.demo.sound import named

STYLES = {"tenant": "magenta", "caller 1": "green", "caller 2": "cyan", "agent": "yellow", "platform": "blue", "other tenant": "red"}
TOLD = ("Digits", "QueuePosition", "QueueTime", "CurrentQueueSize", "QueueResult", "DequeueResult", "DialCallStatus")
"""Parameters of a request that a reader follows the story by."""
MEANINGS = {
    named(documents.ONE_HZ): "the first wait application",
    named(documents.TWO_HZ): "the second wait application",
    named(documents.WHISPER_HZ): "the whisper",
    named(documents.TAKEN_HZ): "the document that REST named",
    named(documents.CALLER_HZ): "caller 1 speaking",
    named(documents.AGENT_HZ): "the agent speaking",
}
HEADING = "bold"


class Timeline:
    """Writes to a console; times count from its making."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console, self._clock = console, clock
        self.began = clock.now()

    def note(self, who: str, text: str, *, at: float | None = None) -> None:
        """Write that ``who`` did something; ``at`` in seconds, monotonic, if it was not just now."""
        seconds = (self._clock.now() if at is None else at) - self.began
        self._print(Text.assemble((f"{seconds:6.2f} s  ", "dim"), (f"{who:13}", STYLES.get(who, "")), text))

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._print(Text(f"\n{text}", HEADING))

    def plain(self, text: str) -> None:
        """Write a line as it is."""
        self._print(Text(text))

    def verdict(self, verdict: Verdict) -> None:
        """Write ``P1 ok …`` or ``P1 FAILED …``."""
        word, style = ("ok", "bold green") if verdict.ok else ("FAILED", "bold red")
        self._print(Text.assemble((verdict.name, HEADING), " ", (word, style), f" {verdict.text}"))

    def event(self, who: str, event: Mapping[str, Any]) -> None:
        """Write what a peer said by itself, if it is of interest."""
        text = described(event)
        if text:
            self.note(who, text, at=event.get("at"))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)


def described(event: Mapping[str, Any]) -> str:
    """Return an event in words; empty where there is nothing to tell."""
    match event["event"]:
        case "status":
            return f"is told {event['code']}"
        case "answered":
            return "is answered (200 OK)"
        case "hears":
            meaning = MEANINGS.get(event["what"])
            return f"hears {event['what']}" + (f" ({meaning})" if meaning else "")
        case "bye":
            return "is hung up on"
        case "wire":
            return f"has trouble: {event['error']}"
        case "request":
            return described_request(event)
    return ""


def described_request(event: Mapping[str, Any]) -> str:
    """Return a webhook in words: what was asked with which parameters, and which verbs were the answer."""
    told = [f"{name}={event['params'][name]}" for name in TOLD if name in event["params"]]
    verbs = [verb for verb in re.findall(r"<([A-Z]\w*)", event["reply"]) if verb != "Response"]
    answer = " ".join(f"<{verb}>" for verb in verbs) if "<Response>" in event["reply"] else event["reply"]
    status = "" if event["status"] == 200 else f"{event['status']} "
    return " ".join([f"is asked {event['method']} {event['path']}", *told, "→", (status + answer).strip() or "nothing"])
