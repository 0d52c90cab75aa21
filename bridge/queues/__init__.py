"""Queues of calls: their order (``queue``), who changes them (``authority``), their names (``directory``). They know nothing of XML."""
