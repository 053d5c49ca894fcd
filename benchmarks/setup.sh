#!/usr/bin/env bash
# How long a fresh checkout takes until `synthgen --help` answers: clone, virtual environment, install.
#   benchmarks/setup.sh            -> benchmarks/results/setup.json
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
began=$(date +%s)
git clone --quiet "$here" "$place/synthgen"
make --silent -C "$place/synthgen" setup
"$place/synthgen/.venv/bin/synthgen" --help >/dev/null
seconds=$(($(date +%s) - began))
size=$(du -sm "$place/synthgen/.venv" | cut -f1)
mkdir -p "$here/benchmarks/results"
printf '{\n  "command": "benchmarks/setup.sh",\n  "date": "%s",\n  "cores": %s,\n  "seconds": %s,\n  "environment_mb": %s\n}\n' \
    "$(date -u +%F)" "$(nproc)" "$seconds" "$size" | tee "$here/benchmarks/results/setup.json"
