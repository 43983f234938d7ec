"""Judging SQL: queries run in a sandbox, predicted results are compared with gold results and scored."""

EVALUATOR_VERSION = "2.0"
"""Raise it with every change that can change a verdict or a score; it is in each metrics file."""
