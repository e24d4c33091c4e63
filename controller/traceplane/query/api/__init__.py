"""The HTTP side of the query service: routes, requests, answers."""
