"""From names in a statement to files, hot tables and the seam between them. Pure."""
