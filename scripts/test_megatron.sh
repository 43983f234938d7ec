#!/usr/bin/env bash
# Trains with Megatron on two CPU processes and compares with transformers; `make test-megatron` calls it.
#
# MCORE_ADAPTER  the folder mcore_adapter of a checkout of alibaba/ROLL, at the commit in configs/requirements-gpu.txt
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv-megatron
SOURCE=${MCORE_ADAPTER:-}
MEGATRON=$(grep -o 'megatron-core==[0-9.]*' pyproject.toml)
COMMIT=$(grep -o 'ROLL.git@[0-9a-f]*' configs/requirements-gpu.txt)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ ! -f "$SOURCE/src/mcore_adapter/training_args.py" ]; then
    echo "error: MCORE_ADAPTER ('$SOURCE') is not the folder mcore_adapter of a checkout of alibaba/ROLL; next:" \
        "git clone https://github.com/alibaba/ROLL.git ../ROLL && git -C ../ROLL checkout ${COMMIT#*@}," \
        "then make test-megatron MCORE_ADAPTER=../ROLL/mcore_adapter" >&2
    exit 1
fi
SOURCE=$(realpath "$SOURCE")
if [ ! $VENV/.complete -nt pyproject.toml ] || [ "$(cat $VENV/.complete)" != "$SOURCE" ]; then
    echo "test-megatron: installing $MEGATRON and $SOURCE into $VENV"
    [ -x $VENV/bin/python ] || .venv/bin/python -m venv $VENV
    # all other packages are those of .venv
    where='import sysconfig; print(sysconfig.get_paths()["purelib"])'
    .venv/bin/python -c "$where" >"$($VENV/bin/python -c "$where")/base.pth"
    cp -r "$SOURCE" "$scratch/mcore_adapter" # built in a copy, because builds leave files behind
    if ! $VENV/bin/pip install -q --no-deps --force-reinstall "$MEGATRON" "$scratch/mcore_adapter"; then
        echo "error: $VENV could not be built; next: fix pip's error above, then make test-megatron" >&2
        exit 1
    fi
    echo "$SOURCE" >$VENV/.complete
fi
PYTHONPATH=. $VENV/bin/python -m pytest -v --show-capture=no --disable-warnings -m megatron tests/training/megatron
