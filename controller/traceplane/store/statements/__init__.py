"""Statements by area, each named and described: what it does, and why it has that shape."""
