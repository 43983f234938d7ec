"""Answers from a language model: engines, batches that survive a kill, SQL out of prose."""
