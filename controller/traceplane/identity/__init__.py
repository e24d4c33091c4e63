"""Who calls: task capabilities, worker tokens, users."""
