"""Versions of a DAG: what a graph becomes in state, and how one version takes the place of another."""
