"""Waitline: a self-hosted programmable-voice platform whose heart is the call queue.

The map, from the outside in:

* ``waitline.supervisor`` is the parent of all processes, ``waitline.cli`` the command, ``waitline.server`` puts control together.
* ``waitline.api`` is the REST interface, ``waitline.bridge`` everything between a SIP datagram and a tenant's document,
  ``waitline.media`` the packets of sound.
* ``waitline.errors`` and ``waitline.clock`` are the two modules everyone may import; they import nothing of ours.
"""

__version__ = "0.1.0"
__all__ = ["__version__"]
