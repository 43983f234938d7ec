"""Few-shot examples: embeds the training questions, indexes them, finds and reranks the nearest ones."""
