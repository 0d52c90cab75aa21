"""What a run has shown: counts, each beside its goal, and times beside those of a plain sender.

Everything is judged from outside. A call is *lost* when the phone was told its end (or hears nothing any more, or its dialog is not known
any more) without having asked for it; ends that belong to the run are those of the callers whose agents hung up. A caller was
*overtaken* when an agent who called after another caller was already talking got one who had been answered before that other had even
called: so neither the moment of a death nor an agent's own pace can look like it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bench.figures import Figure, table
from chaos.drive import Deed, Findings
from chaos.tenant import tone_of

AFTERMATH_S = 3.0
"""So long after a control is ready a gap still counts as its death's."""
SILENT_S = 1.0
TONE_WITHIN_HZ = 2.0


@dataclass(frozen=True, kw_only=True)
class Count:
    """Something that is to happen as often as ``goal``, with what happened; None where nothing is promised."""

    name: str
    found: list[str]
    goal: int | None = 0

    @property
    def figure(self) -> Figure:
        some = f": {', '.join(self.found[:4])}" + (" …" if len(self.found) > 4 else "") if self.found else ""
        met = None if self.goal is None else len(self.found) == self.goal
        return Figure(
            name=self.name, goal="" if self.goal is None else str(self.goal), measured=f"{len(self.found)}{some}", met=met, method=""
        )


def counts(found: Findings) -> list[Count]:
    """Return the counts that decide."""
    return [
        Count(name="upgrades refused or failed", found=[deed.text for deed in found.deeds if not deed.ok]),
        Count(name="calls lost to control's death", found=list(_lost(found))),
        Count(
            name="new calls never answered", found=[_told(call) for call in found.calls if call["invited_at"] and not call["answered_at"]]
        ),
        Count(name="places changed", found=list(_changed_places(found.lines))),
        Count(name="callers overtaken", found=list(_overtaken(found.calls))),
        Count(name="double dequeues", found=list(_doubles(found))),
        Count(name="callers who do not hear their own tone", found=list(_wrong_tones(found))),
        Count(name="action callbacks lost", found=list(_lost_actions(found))),
        Count(name="status callbacks lost", found=list(_lost_statuses(found))),
        Count(name="callbacks doubled under another token", found=list(_doubled_events(found.requests))),
        Count(name="callbacks repeated under the same token", found=_repeated_tokens(found.requests), goal=None),
        Count(name="keys lost, doubled or changed in a Gather", found=list(_keys(found))),
        Count(name="calls lost to a media worker's death", found=list(_lost_with_media(found))),
        Count(name="new calls refused after a media worker's death", found=list(_refused_after_media(found))),
    ]


# --- who is who


def _kind(call: dict[str, Any]) -> str:
    return str(call["name"]).partition("-")[0]


def _told(call: dict[str, Any]) -> str:
    return f"{call['name']} ({call['refused'] or 'no response'})"


def _up(call: dict[str, Any]) -> bool:
    return bool(call["answered_at"] and not call["ended_at"] and not call["hung_up_at"])


def _waits(call: dict[str, Any]) -> bool:
    return _kind(call) == "w" and _up(call) and not call["heard"]


def _partner(found: Findings) -> dict[int, dict[str, Any]]:
    return {call["number"]: call for call in found.calls}


# --- the counts


def _lost(found: Findings) -> Iterator[str]:
    partners = _partner(found)
    for call in found.calls:
        if call["ended_at"]:
            agents = [partners[mark] for mark, _ in call["heard"] if mark in partners]
            if not any(agent["hung_up_at"] or agent["ended_at"] for agent in agents if _kind(call) == "w"):
                yield f"{call['name']} ended"
        elif _up(call) and call["probed"] != 200:
            yield f"{call['name']} not known any more ({call['probed']})"
        elif _up(call) and _kind(call) != "a" and call["last_packet_at"] < found.ended_at - SILENT_S - 4:
            yield f"{call['name']} silent"
        elif call["hung_up_at"] and call["responses_to_bye"] not in (0, 200):
            yield f"{call['name']}'s BYE got {call['responses_to_bye']}"


def _changed_places(lines: list[tuple[str, list[str]]]) -> Iterator[str]:
    """Compare each look at the line with the one before: who is in both must be in the same order, and nobody new before them."""
    for (_, earlier), (moment, later) in pairwise(lines):
        known = set(earlier)
        stayed = [call for call in later if call in known]
        before = [call for call in earlier if call in set(later)]
        for one, other in zip(before, stayed, strict=True):
            if one != other:
                yield f"{moment}: {other} in the place of {one}"
        ahead = later[: max((later.index(call) for call in stayed), default=0)]
        yield from (f"{moment}: {call} came in ahead" for call in ahead if call not in known)


def _overtaken(calls: list[dict[str, Any]]) -> Iterator[str]:
    by_number = {call["number"]: call for call in calls}
    line = [call for call in calls if _kind(call) == "w" and call["answered_at"] and (call["heard"] or _up(call))]
    line.sort(key=lambda call: call["answered_at"])
    talks = sorted((call for call in line if call["heard"]), key=lambda call: call["heard"][0][1])
    for other in talks:
        met_at = other["heard"][0][1]
        for caller in line:
            if caller["answered_at"] >= other["invited_at"]:
                break
            agent = by_number[caller["heard"][0][0]] if caller["heard"] else None
            if agent is None or agent["invited_at"] > met_at:
                yield f"{caller['name']} by {other['name']}"
                break


def _doubles(found: Findings) -> Iterator[str]:
    for call in found.calls:
        if len(call["heard"]) > 1:
            yield f"{call['name']} heard {len(call['heard'])}"
    names = _names(found.requests)
    bridged: dict[str, set[str]] = defaultdict(set)
    for request in found.requests:
        if request["path"] == "/left" and request["params"].get("QueueResult") == "bridged":
            bridged[request["params"]["CallSid"]].add(request["token"])
    yield from (f"{names.get(call, call)} was bridged {len(tokens)} times" for call, tokens in bridged.items() if len(tokens) > 1)


def _wrong_tones(found: Findings) -> Iterator[str]:
    for call in found.calls:
        if _waits(call) and abs(call["tone"] - tone_of(call["name"])) > TONE_WITHIN_HZ:
            yield f"{call['name']} hears {call['tone']:g} Hz for {tone_of(call['name'])}"


def _names(requests: list[dict[str, Any]]) -> dict[str, str]:
    """CallSid → the phone's name, from the caller's address."""
    found = {}
    for request in requests:
        match = re.search(r"[a-z]-\d+", request["params"].get("From", ""))
        if match and "CallSid" in request["params"]:
            found[request["params"]["CallSid"]] = match[0]
    return found


def _lost_actions(found: Findings) -> Iterator[str]:
    """Who left the line has been told of: once taken by an agent or given up."""
    names = _names(found.requests)
    told = {names.get(request["params"]["CallSid"]) for request in found.requests if request["path"] == "/left"}
    for call in found.calls:
        over = call["ended_at"] or (call["hung_up_at"] and call["answered_at"])
        if _kind(call) == "w" and over and call["name"] not in told:
            yield f"{call['name']} ({'taken' if call['heard'] else 'gave up'})"


def _lost_statuses(found: Findings) -> Iterator[str]:
    names = _names(found.requests)
    told = {
        names.get(request["params"]["CallSid"])
        for request in found.requests
        if request["path"] == "/status" and request["params"].get("CallStatus") == "completed"
    }
    for call in found.calls:
        if call["answered_at"] and (call["ended_at"] or call["hung_up_at"]) and call["name"] not in told:
            yield str(call["name"])


def _doubled_events(requests: list[dict[str, Any]]) -> Iterator[str]:
    """The same thing told under two tokens: a caller leaves the line once, and a call is completed once."""
    names = _names(requests)
    tokens: dict[tuple[str, str], set[str]] = defaultdict(set)
    for request in requests:
        if request["path"] in ("/left", "/status"):
            event = request["path"] + request["params"].get("CallStatus", "") * (request["path"] == "/status")
            tokens[names.get(request["params"]["CallSid"], ""), event].add(request["token"])
    yield from (f"{name} {event}: {len(found)} tokens" for (name, event), found in tokens.items() if len(found) > 1)


def _repeated_tokens(requests: list[dict[str, Any]]) -> list[str]:
    times = Counter((request["path"], request["token"]) for request in requests if request["token"])
    paths = Counter(path for (path, _), count in times.items() for _ in range(count - 1))
    return [path for path, count in paths.items() for _ in range(count)]


def _keys(found: Findings) -> Iterator[str]:
    names, seen = _names(found.requests), set()
    received: dict[str, str] = defaultdict(str)
    for request in found.requests:
        if request["path"] == "/digits" and request["token"] not in seen:
            seen.add(request["token"])
            received[names[request["params"]["CallSid"]]] += request["params"].get("Digits", "")
    for name, typed in found.typed.items():
        if received[name] != typed:
            yield f"{name}: {len(typed)} typed, {len(received[name])} received"


# --- times


def times(found: Findings) -> list[Figure]:
    """Return what is reported and decides nothing."""
    deaths = [deed for deed in found.deeds if deed.kind == "kill"]
    upgrades = [deed for deed in found.deeds if deed.kind == "upgrade"]
    silences = [deed.ready_at - deed.at for deed in deaths]
    answered = [gap for deed in deaths if (gap := _answered_again(deed, found.calls)) is not None]
    lines = [
        _spread("from a kill to the next control's ready", silences, "s"),
        _spread("from a kill to the answer of a call that came after it", answered, "s", goal="≤ 1.5 s"),
        _spread("upgrades, from command to done", [deed.ready_at - deed.at for deed in upgrades], "s"),
        _spread("a call's answer, all calls", [c["answered_at"] - c["invited_at"] for c in found.calls if c["answered_at"]], "s"),
    ]
    waiting = [(at, size) for call in found.calls if _kind(call) in "wg" for at, size in call["gaps"] if _while_waiting(call, at)]
    plain = [(at, size) for flow in found.references for at, size in flow["gaps"]]
    beside = f"a plain sender {found.reference}"
    return [
        *lines,
        _gaps("largest RTP gap of a waiting caller over control's deaths", waiting, found.deeds, over=True, goal="≤ 60 ms"),
        _gaps(f"  {beside}, the same moments", plain, found.deeds, over=True),
        _gaps("largest RTP gap of a waiting caller otherwise", waiting, found.deeds, over=False),
        _gaps(f"  {beside}, otherwise", plain, found.deeds, over=False),
    ]


def _answered_again(deed: Deed, calls: list[dict[str, Any]]) -> float | None:
    return min((call["answered_at"] - deed.at for call in calls if call["invited_at"] > deed.at and call["answered_at"]), default=None)


def _while_waiting(call: dict[str, Any], at: float) -> bool:
    ends = [met_at for _, met_at in call["heard"]] + [call["ended_at"], call["hung_up_at"]]
    return bool(call["answered_at"] < at < min((end for end in ends if end), default=float("inf")))


def _gaps(name: str, gaps: list[tuple[float, float]], deeds: list[Deed], *, over: bool, goal: str = "") -> Figure:
    def near(at: float, size: float) -> bool:
        return any(at > deed.at and at - size < deed.ready_at + AFTERMATH_S for deed in deeds)

    sizes = [size for at, size in gaps if near(at, size) is over]
    noted = f"{1000 * max(sizes):.0f} ms ({len(sizes)} over 50 ms)" if sizes else "none over 50 ms"
    return Figure(name=name, goal=goal, measured=noted, method="")


def _spread(name: str, seconds: list[float], unit: str, *, goal: str = "") -> Figure:
    if not seconds:
        return Figure(name=name, goal=goal, measured="-", method="")
    ordered = sorted(seconds)
    text = f"{ordered[len(ordered) // 2]:.2f} {unit} in the middle, {ordered[-1]:.2f} {unit} at most ({len(ordered)})"
    return Figure(name=name, goal=goal, measured=text, method="")


# --- media


def _lost_with_media(found: Findings) -> Iterator[str]:
    """Those who were up before a death and were hung up on, or hear nothing."""
    for number, round_ in enumerate(found.media, 1):
        for call in round_["calls"]:
            if call["name"] in round_["new"] or call["hung_up_at"]:
                continue
            if call["ended_at"]:
                yield f"{call['name']} (death {number})"
            elif call["last_packet_at"] <= round_["until"] - SILENT_S:
                yield f"{call['name']} is silent (death {number})"


def _refused_after_media(found: Findings) -> Iterator[str]:
    for number, round_ in enumerate(found.media, 1):
        for call in round_["calls"]:
            if call["name"] in round_["new"] and call["refused"]:
                yield f"{call['name']} (death {number})"


def media(found: Findings) -> list[Figure]:
    """Return what became of the calls of dead media workers."""
    lines = []
    for number, round_ in enumerate(found.media, 1):
        calls = [call for call in round_["calls"] if call["name"] not in round_["new"]]
        ended = sum(1 for call in calls if call["ended_at"] > round_["at"])
        on = sum(1 for call in calls if _up(call) and call["last_packet_at"] > round_["until"] - SILENT_S)
        silent = sum(1 for call in calls if _up(call)) - on
        new = [call for call in round_["calls"] if call["name"] in round_["new"]]
        again = min((call["answered_at"] - round_["at"] for call in new if call["answered_at"]), default=float("inf"))
        refused = sum(1 for call in new if call["refused"])
        gap = max((size for call in calls for at, size in call["gaps"] if at > round_["at"]), default=0.0)
        text = (
            f"of {round_['before']} calls {on} go on, {ended} were ended by BYE, {silent} are silent; longest gap {1000 * gap:.0f} ms; "
            f"new calls: {refused} refused, answered after {again:.2f} s"
        )
        lines.append(Figure(name=f"death {number} of a media worker", goal="0 lost, ≤ 1 s", measured=text, method=""))
    return lines


def _done(found: Findings) -> str:
    kinds = Counter(deed.kind for deed in found.deeds)
    return f"{kinds['kill']} of {found.sizes.kills}, {kinds['upgrade']} of {found.sizes.upgrades}"


def told(found: Findings) -> str:
    """Return the whole table."""
    done = Figure(name="kills and upgrades of control", measured=_done(found), method="")
    return table([done, *(count.figure for count in counts(found)), *times(found), *media(found)])
