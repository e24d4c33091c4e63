"""The Python operator SDK: what an operator is written against, and nothing of the platform itself."""
