"""Reports on their way to control, which may be slow, busy or gone.

A worker never waits for control, and a control that stands still for a minute must not cost memory for each clip that ended meanwhile.
So reports are facts about a leg, not a log: a new one of a kind takes the place of the one that was not yet sent (the newest token, the
newest source). Digits alone queue, because "1, 2" is not "2": at most ``MAX_DIGITS`` a leg, the oldest lost first, and since they are
numbered, control can tell.
"""

from __future__ import annotations

from collections import Counter

from waitline.media.messages import MAX_BATCH_BYTES, Digit, Dumped, Report, encode

MAX_DIGITS = 32
_Key = tuple[type, int, int]


class Outbox:
    """What control has not taken yet, in order."""

    def __init__(self) -> None:
        self._reports: dict[_Key, Report] = {}
        self._digits: Counter[int] = Counter()
        self.lost_digits = 0

    def __len__(self) -> int:
        return len(self._reports)

    def add(self, report: Report) -> None:
        """Take a report; it replaces an older one of its kind and leg."""
        if isinstance(report, Digit):
            self._add_digit(report)
            return
        key = (type(report), 0 if isinstance(report, Dumped) else report.leg, 0)
        self._reports.pop(key, None)
        self._reports[key] = report

    def forget(self, leg: int) -> None:
        """Drop what is left to say about a leg that was closed."""
        for key in [key for key in self._reports if key[1] == leg]:
            del self._reports[key]
        self._digits.pop(leg, None)

    def batch(self) -> list[Report]:
        """Return the first reports that fit into one message; they stay until ``sent``."""
        if len(self._reports) == 1:
            return list(self._reports.values())
        size = 2
        batch: list[Report] = []
        for report in self._reports.values():
            size += len(encode([report])) - 1
            if batch and size > MAX_BATCH_BYTES:
                break
            batch.append(report)
        return batch

    def sent(self, batch: list[Report]) -> None:
        """Drop the reports of a batch that control has taken."""
        for key in list(self._reports)[: len(batch)]:
            del self._reports[key]
            if key[0] is Digit:
                self._digits[key[1]] -= 1

    def _add_digit(self, digit: Digit) -> None:
        if self._digits[digit.leg] >= MAX_DIGITS:
            oldest = next(key for key in self._reports if key[0] is Digit and key[1] == digit.leg)
            del self._reports[oldest]
            self.lost_digits += 1
        else:
            self._digits[digit.leg] += 1
        self._reports[Digit, digit.leg, digit.number] = digit
