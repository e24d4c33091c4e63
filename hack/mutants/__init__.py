"""Takes the guards out of the code one at a time, and says which of them no test misses.

A guard is a condition that keeps something from happening: a conjunct of a WHERE in a statement, or an `if` that
raises. A *mutant* is the code without one guard. The tests of its room run on a copy of the checkout; a mutant that
passes them all has survived. A survivor wants a test; or it stands before another guard that would hold too, and a
comment on its line or on the line above says `second guard`; or it is of no use and goes.

`make mutants` runs every room, and takes hours; `make mutants ROOM=statements ONLY=leases` runs a part.
"""
