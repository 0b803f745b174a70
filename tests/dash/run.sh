#!/usr/bin/env bash
# run.sh SCRIPT.py LULL MAKE_TINY_MODEL [ARGUMENT...]: the script on smollm2 where LULL_TEST_MODELS (a folder)
# has it, else on a tiny model of random weights under its name.
set -euo pipefail
script=$(dirname "$0")/$1 lull=$2 make_tiny_model=$3
shift 3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ -f "${LULL_TEST_MODELS:-/nonexistent}/smollm2.gguf" ]; then
  ln -s "$LULL_TEST_MODELS/smollm2.gguf" "$folder/smollm2.gguf"
else
  "$make_tiny_model" --ctx 2048 --out "$folder/smollm2.gguf"
fi
PYTHONDONTWRITEBYTECODE=1 python3 "$script" "$lull" "$folder/smollm2.gguf" "$@"
