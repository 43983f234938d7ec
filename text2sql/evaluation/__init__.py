"""Judging SQL: it is run in a sandbox, its result compared with the gold's, the verdicts scored."""

EVALUATOR_VERSION = "2.0"
"""Raised with every change that can turn a verdict or a number; stands in each metrics file."""
