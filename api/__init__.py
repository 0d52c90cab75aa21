"""The REST interface: form-encoded requests in, JSON out. It never touches SIP or RTP; what it needs of the platform is in ``ports``.

A request goes: ``app`` (error bodies, request id, metrics) → ``routing`` (who asks, for which account, with which parameters) → one handler
of a resource's file → ``render`` and ``paging``. A new resource is a new file with a ``ROUTES`` table, added to ``resources.ALL``; the
table is the router's and the OpenAPI document's only source, so neither can forget a route.
"""
