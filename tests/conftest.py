"""What all tests share: nothing but that what was loaded to run them is not searched for garbage again and again."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Thousands of tests and their libraries live to the end: leaving them out of collections saves a tenth of the time."""
    gc.collect()
    gc.freeze()
