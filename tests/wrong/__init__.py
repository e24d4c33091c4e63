"""The table of wrong manifests, and the right ones that its rows change."""
