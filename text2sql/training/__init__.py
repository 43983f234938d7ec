"""Training with LLaMA-Factory: recipe, configuration, run, checkpoints and finished weights."""
