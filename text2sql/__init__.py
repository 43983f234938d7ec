"""Text-to-SQL fine-tuning: data, contamination, schemas, training, inference and evaluation."""
