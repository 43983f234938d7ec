"""Judging SQL: queries run in a sandbox, predicted results are compared with gold results and scored."""
