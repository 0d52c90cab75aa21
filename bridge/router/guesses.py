"""How often a password may be guessed, whoever guesses and from wherever.

A credential that was tried wrongly ten times at once, or more often than twice a minute for long, is *barred*: it is verified only for
sources that have proved it within a day; everybody else gets the challenge that everybody gets, and learns nothing, not even whether
the guess was right. So a phone goes on working while its password is guessed from a thousand addresses, and nobody can have it locked
out; a phone that comes from a new address meanwhile waits until it is over. Guesses from a source that has proved it count as well, with
a longer patience: an office shares its address with whoever sits in it.

Only credentials that exist are counted: nobody can fill the table. ``now`` is monotonic, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PATIENCE = 10.0
HOME_PATIENCE = 100.0
FORGIVEN_PER_S = 1 / 30
HOME_S = 86_400.0
HOMES = 64


@dataclass(slots=True)
class _Target:
    heat: float = 0.0
    at: float = 0.0
    homes: dict[str, float] = field(default_factory=dict)
    """Sources that have proved it: until when they count, the latest proof last"""


class Guesses:
    """See the module. A credential is known by its sid, a source by what the gate calls it."""

    def __init__(self) -> None:
        self._targets: dict[str, _Target] = {}  # no more than there ever were credentials

    def __len__(self) -> int:
        return len(self._targets)

    def barred(self, credential: str, source: str, now: float) -> bool:
        """Whether not even a right password of that source counts now."""
        target = self._targets.get(credential)
        if target is None:
            return False
        patience = HOME_PATIENCE if target.homes.get(source, 0.0) > now else PATIENCE
        return self._heat(target, now) >= patience

    def failed(self, credential: str, now: float) -> None:
        """A wrong password."""
        target = self._targets.setdefault(credential, _Target())
        target.heat = min(self._heat(target, now) + 1.0, 2 * HOME_PATIENCE)  # so that an attack that ends is forgotten within two hours
        target.at = now

    def proved(self, credential: str, source: str, now: float) -> None:
        """A right one."""
        target = self._targets.setdefault(credential, _Target())
        target.homes.pop(source, None)
        target.homes[source] = now + HOME_S
        if len(target.homes) > HOMES:
            del target.homes[next(iter(target.homes))]

    def _heat(self, target: _Target, now: float) -> float:
        return max(0.0, target.heat - (now - target.at) * FORGIVEN_PER_S)
