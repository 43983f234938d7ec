"""Asks a database a question: the model writes a query, the database runs it, and nothing is written."""
