"""The composition root: `tracectl`, with a subcommand per process and per user verb."""
