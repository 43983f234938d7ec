"""Training: a recipe becomes LLaMA-Factory's configuration, a run, a checkpoint, finished weights."""
