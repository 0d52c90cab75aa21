"""``waitline demo``: the main job end to end on this machine, without a phone at hand, judged from the outside.

::

    main.py          puts the stage up, lets the story run, prints the verdicts, clears everything away
      stage.py       the platform, the tenant, three phones: processes of their own, in a temporary folder, on free ports
      story.py       what happens, in order; notes what was seen as evidence and never judges
      judge.py       evidence → one line per requirement of the claim (P1–P14) and per further element of the scenario
      keep.py        ``--keep``: stays up for people with softphones
      timeline.py    what a person reads meanwhile

    phone.py         a process: a small SIP phone (phone_sip.py, phone_rtp.py); says what it hears (sound.py)
    tenant.py        a process: a tenant's web server with its application (documents.py), which keeps an account over REST (rest.py)
    peers.py, pipe.py   both ends of how the demo talks to these processes: one JSON object a line

The phone is a convenience and written apart from the platform's SIP and RTP: a mistake of the one is not repeated by the other. The
proof on other people's phones is in the tests. Nothing here is imported by the platform, and only its command line and its wire are used.
"""
