"""The parent of all processes and owner of what must outlive control.

It is meant never to fail, so it does next to nothing: it imports the standard library only, parses no SIP, no XML and no settings. It
starts control, answers control's requests, hands signals on as commands, and waits. Whatever it opens it keeps under the name it was
asked for, so that a control that comes after the first is given the same: listening sockets, memory files, both ends of each media worker's
link, what that worker needs to be gone on for, and any socket that control gave it to keep.

Who does what: ``tree`` is the loop with its processes and sockets, ``succession`` decides who is in control and does no I/O, ``restarts``
counts deaths, ``roles`` are their common terms, ``crew`` has the workers, ``estate`` what a media worker would leave, ``keeper`` the
descriptors, ``listeners`` opens ports, ``channel`` is the link to one control, ``door`` takes orders from ``waitline upgrade`` and
``waitline drain``, ``children`` starts processes.

How the tree ends. Children run in sessions of their own and ignore SIGINT and SIGTERM, so a Ctrl-C reaches only the supervisor. When
the supervisor is gone, however it went, each child is killed by the kernel (PR_SET_PDEATHSIG) and, should that ever fail, reads the end
of its lifeline, a pipe whose other end only the supervisor holds (of its link, for control). The first SIGTERM or SIGINT asks control to
drain, the second to end; when control has ended for that reason, everything does.

What is said over the link (AF_UNIX SOCK_SEQPACKET, one JSON object a message; ``waitline.supervision`` is the other end)::

    control → supervisor   {"id": 1, "do": "listen", "kind": "udp", "host": "127.0.0.1", "port": 5060}
                           {"id": 2, "do": "memfd", "name": "frames", "size": 1000000}
                           {"id": 3, "do": "spawn", "kind": "media", "index": 0, "memfd": "frames", "args": []}
                           {"id": 4, "do": "workers"}                    the media workers that live
                           {"id": 5, "do": "kept", "from": 0}            what is kept, by pages
                           {"do": "keep", "name": "…", "fds": 2, "data": "BASE64"} with descriptors; without "fds" only the data is new
                           {"do": "drop", "name": "…"}
                           {"do": "ready", "http": "127.0.0.1:8080", "sip": "127.0.0.1:5060"}
                           {"do": "alive", "status": {"calls": 3}}       twice a second, from its loop
                           {"do": "standby", "on": true}                 have a standby from now on
                           {"do": "handed-over"}                         as told: all is closed here, another may go on
                           {"do": "door", "name": "…"}                   where commands of this machine are taken
                           {"do": "standing-by"}   {"do": "checked", "reason": "", "version": "1.2"}       from a standby
    supervisor → control   {"id": 1, "ok": true, …} with descriptors (SCM_RIGHTS)   or   {"id": 1, "error": "…"}
                           {"event": "drain", "deadline_s": 60}   {"event": "end"}   {"event": "hand_over"}
                           {"event": "died", "kind": "media", "index": 0, "why": "SIGKILL"}
                           {"event": "check"}   {"event": "go"}          to a standby

A worker is started as ``python -m MODULE --index N --link FD [--vault FD] [--frames=FD] ARGS… [--succeed] --lifeline FD``; the other end of
its link is the descriptor in the answer, with ``"adopted": true`` where the worker has lived before the question. What a media worker says
over its vault is described in ``waitline.media.vault``. To add a kind of child, add a line to ``MODULES``; to add a request, a line to
``Keeper`` or, if it concerns who is in control, to ``Supervisor``.
"""

from __future__ import annotations

from waitline.supervisor.listeners import RequestFailed, open_listener, open_pair
from waitline.supervisor.tree import main

__all__ = ["RequestFailed", "main", "open_listener", "open_pair"]
