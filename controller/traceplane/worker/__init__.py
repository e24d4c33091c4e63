"""The worker process: claims tasks of one job generation, runs them, and exits."""
