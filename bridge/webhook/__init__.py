"""Requests to tenants' servers. ``client`` is what the rest of the platform uses; it returns replies and knows no documents."""
