"""What users reach over HTTP: read what runs, what was made and where it stands."""
