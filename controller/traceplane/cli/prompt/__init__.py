"""The prompt of `tracectl sql`: statements from a person or a script, and what answers them."""
