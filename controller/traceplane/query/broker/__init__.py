"""The trusted side of a query: cells and the conversation with each."""
