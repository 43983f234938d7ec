#!/usr/bin/env bash
# Checks training and prediction on a GPU, in parts with limits; about 10 minutes on an H100 without vLLM and Megatron.
# Usage: scripts/gpu_check.sh [--dry-run] [--part NAME]... [--again] [--tiny]
# Parts that passed are not run again. docs/training.md, section "GPU check", describes them.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
exec python -m scripts.gpu_check "$@"
