"""The same statements by Trace and by plain DuckDB over the same rows: every difference is a defect.

`rows` makes a small chain, `nodes` are statements that can be made smaller, `grammar` grows them from a seed,
`differential` runs them on both sides and compares.
"""
