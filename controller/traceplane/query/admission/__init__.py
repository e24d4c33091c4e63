"""Admission: how many queries run, how many wait, and which caller is next."""
