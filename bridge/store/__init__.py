"""What survives a restart: see ``store.py``."""

from waitline.bridge.store.errors import Conflict, StoreError, StoreUnavailable
from waitline.bridge.store.image import Image, Index
from waitline.bridge.store.store import Filter, Store, StoreFailure

__all__ = ["Conflict", "Filter", "Image", "Index", "Store", "StoreError", "StoreFailure", "StoreUnavailable"]
