"""Ranges of whole numbers as partitions: what operators that emit them share.

Ranges are inclusive and end at multiples of their size, in every operator that cuts them: so each job gets the same
keys, and a range of one size is a union of ranges of a size that divides it. The first and the last may be shorter.
"""
