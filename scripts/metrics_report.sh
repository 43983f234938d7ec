#!/usr/bin/env bash
# Prints how a branch changes the scores, parameters and plots, as Markdown.
# Usage: scripts/metrics_report.sh BASE_COMMIT
set -euo pipefail
base=$1

echo "### Scores compared with ${base:0:10}"
echo
changes=$(dvc metrics diff --md "$base")
echo "${changes:-No score changed.}"
echo
echo "### Parameters"
echo
changes=$(dvc params diff --md "$base")
echo "${changes:-No parameter changed.}"
echo
echo "### Plots"
echo
python scripts/plots_markdown.py "$base"
echo "<details><summary>All arms on this branch</summary>"
echo
cat metrics/table.md
echo
echo "</details>"
