"""The dispatcher: turns events into tasks and tasks into facts."""
