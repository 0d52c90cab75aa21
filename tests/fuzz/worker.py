"""One fuzzed target in a process of its own: ``python -m fuzz.worker TARGET`` and libFuzzer's arguments. Imports nothing before atheris
watches, for only what is imported then tells its coverage.
"""

import sys

import atheris

with atheris.instrument_imports(include=["waitline"]):
    from fuzz.targets import TARGETS

# libFuzzer starts itself again by this name when it merges.
atheris.Setup([f"{sys.executable} -m fuzz.worker {sys.argv[1]}", *sys.argv[2:]], TARGETS[sys.argv[1]])
atheris.Fuzz()
