"""What a media leg was told that still counts: enough to open it again, on another port, where no worker can go on with it.

Keys, agreement, whether audio flows, and the programs that are not over, in order, with their tokens: what plays begins anew, and whoever
waits for its end is told of that one. What the peer must hear of, the new port, is the affair of whoever owns the leg.
"""

from __future__ import annotations

from waitline.media.messages import Command, Play, PlayNext, SendDigits, SetKeys, SetMedia, StartAudio


class Said:
    """The memory of one leg."""

    __slots__ = ("_agreed", "_programs")

    def __init__(self) -> None:
        self._agreed: dict[type[Command], Command] = {}
        self._programs: list[Play | PlayNext | SendDigits] = []

    def note(self, command: Command) -> None:
        """Take note of a command."""
        match command:
            case Play():
                self._programs = [command]
            case PlayNext() | SendDigits():
                self._programs.append(command)
            case SetKeys() | SetMedia() | StartAudio():
                self._agreed[type(command)] = command
            case _:
                pass

    def through(self, token: int) -> None:
        """Forget what is over; the newest program may still be heard as its own tail."""
        self._programs = [one for one in self._programs if one.token > token or (one.token == token and not isinstance(one, SendDigits))]

    def again(self) -> list[Command]:
        """Return the commands that bring a new leg to where the old one was."""
        agreed = [self._agreed[kind] for kind in (SetKeys, SetMedia, StartAudio) if kind in self._agreed]
        return [*agreed, *self._programs]
