"""What all tests share.

What was loaded to run them is not searched for garbage again and again. Where ``CI`` is set the examples of property tests are the same in
every run, so that a change is judged by itself; everywhere else they are drawn anew, and a failure found there is a bug found.
"""

from __future__ import annotations

import gc
import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_collection_finish() -> None:
    """Thousands of tests and their libraries live to the end: leaving them out of collections saves a tenth of the time."""
    gc.collect()
    gc.freeze()
