"""``waitline demo``: puts the stage up, plays the story, prints the verdicts, clears away. Exit code 0 only if everything held.

What is left is a folder with what each phone heard and the logs; the data folder, which holds the platform's key, goes with the demo.
Exit codes: 0 all held, 1 something did not (the line says what was seen), 130 ended by Ctrl-C before the verdicts.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console

from waitline.clock import SystemClock
from waitline.demo import judge
from waitline.demo.evidence import Evidence, PhoneSeen
from waitline.demo.failure import DemoFailure
from waitline.demo.keep import welcome_visitors
from waitline.demo.reach import Reach, for_softphones
from waitline.demo.sound import SILENCE
from waitline.demo.stage import Stage, stage
from waitline.demo.story import Story
from waitline.demo.timeline import Timeline

HELD, FAILED, INTERRUPTED = 0, 1, 130
LIMIT_S = 90.0
"""No run of the story takes longer; each of its waits has a shorter deadline of its own."""
SHORTEST_TOLD_S = 0.2


def main(*, keep: bool = False) -> int:
    """Run the demo; returns the exit code."""
    timeline = Timeline(Console(), SystemClock())
    folder = Path(tempfile.mkdtemp(prefix="waitline-demo-"))
    try:
        return asyncio.run(_until_told(_demo(folder, timeline, keep=keep), timeline))
    finally:
        _clear_away(folder)


def _clear_away(folder: Path) -> None:
    """Remove the data, and the logs of those who had nothing to say."""
    shutil.rmtree(folder / "data", ignore_errors=True)
    for log in folder.glob("*.log"):
        if not log.stat().st_size:
            log.unlink()


async def _until_told(demo: Coroutine[Any, Any, int], timeline: Timeline) -> int:
    """Run it, and end it in order on Ctrl-C or SIGTERM."""
    task = asyncio.ensure_future(demo)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        timeline.plain("\nended.")
        return INTERRUPTED


async def _demo(folder: Path, timeline: Timeline, *, keep: bool) -> int:
    reach = for_softphones() if keep else Reach()
    timeline.heading("Waitline demo: callers wait in a tenant's queue, hear its wait applications, and are handed to an agent")
    timeline.plain(f"Everything runs on {reach.host}; recordings and logs are kept in {folder}")
    code = FAILED
    try:
        async with stage(folder, reach, timeline.note, timeline.event) as put_up:
            code = await _with_platform(put_up, _play(put_up, timeline))
            if keep:
                code = await _stay(put_up, timeline, code)
    except DemoFailure as failure:
        timeline.plain(f"\nThe demo could not go on: {failure}")
        return FAILED
    return code


async def _play(put_up: Stage, timeline: Timeline) -> int:
    """Play the story and print what came of it; a story cut short is judged as far as it went."""
    story, failure = Story(put_up, timeline), ""
    try:
        async with asyncio.timeout(LIMIT_S):
            await story.run()
    except (DemoFailure, TimeoutError) as error:
        failure = str(error) or f"it took longer than {LIMIT_S:g} s"
    _print_recordings(timeline, story.seen)
    if failure:
        timeline.plain(f"\nThe story was cut short: {failure}")
    return _print_verdicts(timeline, story.seen, cut_short=bool(failure))


async def _stay(put_up: Stage, timeline: Timeline, code: int) -> int:
    """Stay up until Ctrl-C, which is how this is meant to end."""
    try:
        await _with_platform(put_up, welcome_visitors(put_up, timeline))
    except asyncio.CancelledError:
        timeline.plain("\nending…")
    return code


async def _with_platform(put_up: Stage, work: Coroutine[Any, Any, Any]) -> Any:
    """Do something for as long as the platform lives. Raises DemoFailure with its last words if it ends first."""
    working, death = asyncio.ensure_future(work), asyncio.ensure_future(put_up.platform.died())
    try:
        await asyncio.wait({working, death}, return_when=asyncio.FIRST_COMPLETED)
        if death.done():
            death.result()
        return working.result()
    finally:
        for task in (working, death):
            task.cancel()
        await asyncio.gather(working, death, return_exceptions=True)


def _print_recordings(timeline: Timeline, seen: Evidence) -> None:
    timeline.heading("What each of them heard, measured from the RTP it received")
    for name, phone in (("caller 1", seen.caller_1), ("caller 2", seen.caller_2), ("agent", seen.agent)):
        timeline.plain(f"{name:9} {heard_in_words(phone)}")
        if phone.wav:
            timeline.plain(f"{'':9} {phone.wav}")


def heard_in_words(phone: PhoneSeen) -> str:
    """Return what a phone heard, in order, and how its packets came."""
    told = [span for span in phone.spans() if span.seconds >= SHORTEST_TOLD_S or span.what != SILENCE]
    figures = phone.figures
    count, missing, gap_ms = (figures.get(name, 0.0) for name in ("packets", "missing", "longest_gap_ms"))
    words = " · ".join(f"{span.what} {span.seconds:.1f} s" for span in told) or "nothing"
    return f"{words}   ({count:.0f} packets, {missing:.0f} missing, longest gap {gap_ms:.0f} ms)"


def _print_verdicts(timeline: Timeline, seen: Evidence, *, cut_short: bool) -> int:
    """Print one line each; the claim's come last."""
    scenario, claim = judge.judge_scenario(seen), judge.judge_claim(seen)
    for title, verdicts in (("The rest of the scenario", scenario), ("The claim", claim)):
        timeline.heading(title)
        for verdict in verdicts:
            timeline.verdict(verdict)
    return FAILED if cut_short or not all(verdict.ok for verdict in (*scenario, *claim)) else HELD
