"""The untrusted side of a query: one confined process that runs one statement and ends."""
