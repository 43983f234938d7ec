"""Pages and pictures for people, made from the scores and verdicts of all arms."""
