"""Answers from a language model: engines, resumable batches, SQL extraction, voting and repair."""
