"""Few-shot examples: embed the training questions, index them, find and rerank neighbours."""
