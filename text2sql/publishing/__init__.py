"""Trained models for other people: model cards, folders to publish, GGUF files, and the Hugging Face hub."""
