"""``python -m waitline`` and the command ``waitline``.

``waitline serve`` goes to the supervisor without importing anything but the standard library: the parent of all processes stays small
and has nothing in it that can fail. Everything else, and every help text, is the command line interface's.
"""

from __future__ import annotations

import sys

_HELP = {"--help", "-h"}


def main() -> None:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["serve"] and not _HELP & set(arguments):
        from waitline.supervisor import main as serve

        sys.exit(serve(arguments[1:]))
    from waitline.cli import main as command

    command()


if __name__ == "__main__":
    main()
