"""Pure rules of tasks: no clock, no randomness, no input or output."""
