"""Takes the guards out of the code one at a time, and says which of them no test misses.

A guard is a condition that keeps something from happening: a conjunct of a WHERE in a statement, an `if` that
raises, a check that returns what is wrong. A *mutant* is the code without one guard. The tests of its room run on a
copy of the checkout; a mutant that passes them all has survived. A survivor wants a test; or it stands before
another guard that would hold too, and a comment on its line or on the line above says `second guard`; or it is of
no use and goes.

`make mutants` runs every room, and takes hours; `make mutants ROOM=statements ONLY=leases` runs a part. With
`FIRST=1` only the quick tests of a room run, three to eight seconds for a mutant; what survives them is then run
without it, or with `TESTS="tests/unit/identity"` against the tests that it names. A mutant whose tests could not
run at all (it does not load, say) proves nothing and is listed apart.
"""
