"""The web layer of the task, user and query APIs: a table of routes becomes an application (`routes`), whose
requests are authenticated (`authentication`), read (`bodies`) and refused (`problems`) in one way."""
