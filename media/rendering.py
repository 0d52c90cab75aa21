"""A clip job done: a file or a text becomes frames in every codec. Pure work of the processor; no socket, no loop, no store.

Runs in a clip worker, or inline under virtual time: the same function, so that what a story plays is what a telephone hears.
"""

from __future__ import annotations

from waitline.errors import AudioError
from waitline.media import decode
from waitline.media.clip_maker import Job, Rendered
from waitline.media.frame_store import encode
from waitline.media.speech import Speech


def render(job: Job, speech: Speech) -> Rendered:
    """The job's frames. AudioError if its audio cannot be used."""
    if job.kind == "speech":
        spoken = speech.synthesise(job.data.decode("utf-8", errors="replace"), job.voice, job.language)
        return Rendered(encode(decode.resample(spoken.pcm, spoken.rate)), spoken.warning)
    if job.kind == "audio":
        return Rendered(encode(decode.decode(job.data, job.content_type)), None)
    raise AudioError(f"no way to make a clip of kind {job.kind!r}")
