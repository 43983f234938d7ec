"""How a query runs safely: sandbox, open databases, cached gold results, and when two results are equal."""
