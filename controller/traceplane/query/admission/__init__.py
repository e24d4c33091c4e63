"""How many queries run, how many wait, and whose is next."""
