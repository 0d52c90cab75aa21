"""What survives a restart: see ``store.py``."""

from waitline.bridge.store.errors import Conflict, StoreError, StoreUnavailable
from waitline.bridge.store.history import Filter
from waitline.bridge.store.image import Image, Index
from waitline.bridge.store.store import Store, open_store
from waitline.bridge.store.writer import StoreFailure

__all__ = ["Conflict", "Filter", "Image", "Index", "Store", "StoreError", "StoreFailure", "StoreUnavailable", "open_store"]
