"""The results page and the files for DVC's metrics and plots, from the scores and verdicts of all arms."""
