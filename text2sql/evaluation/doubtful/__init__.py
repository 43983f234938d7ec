"""Finds gold queries whose result cannot be relied on, and says why.

`audit` is the entry point. `text` and `types` find what the SQL alone makes suspect, each with rewritten
queries that mean the same; `examine` runs these and compares. To compare rewritten queries on more databases
than the set's own, run them there in `examine.Examiner._differ`.
"""
