"""The how-to 'Questions and their SQL': each statement beside what the node itself says.

`page` reads the statements out of it, `research` makes a chain to ask about, `oracle` answers each question from
`facts`, the node's JSON, without SQL.
"""
