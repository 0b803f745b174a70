#!/usr/bin/env bash
# compare_quantized_models.sh MODEL.gguf IMATRIX_TEXT TEXT [TYPE...]: perplexity on TEXT of what lull quantize
# and llama-quantize make of the model, without and with importances measured on IMATRIX_TEXT. A row for each
# type: bytes and perplexity of both. Slow: a minute a type for a model of 270M.
#   LULL         the program (default: build/release/lull)
#   LLAMA_BIN    the folder of llama-quantize (default: that of tools/build_llama_cpp.sh --fastest native)
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 3 ] || { sed -n '2,6s/^# \?//p' "$0" >&2; exit 2; }
model=$1 imatrix_text=$2 text=$3
shift 3
types=("$@")
[ $# -gt 0 ] || types=(Q5_K_M Q4_K_M Q3_K_M Q2_K IQ4_XS Q4_0)
lull=${LULL:-build/release/lull}
llama=${LLAMA_BIN:-$(bash tools/build_llama_cpp.sh --fastest native | awk '{print $2}')}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

perplexity() { "$lull" perplexity "$1" "$text" --json 2>/dev/null | grep -o '"perplexity":[0-9.]*' | cut -d: -f2; }
line() { printf '%-8s %-6s %-12s %12s %10.3f\n' "$1" "$2" "$3" "$(stat -c %s "$4")" "$(perplexity "$4")"; }

"$lull" imatrix "$model" --text "$imatrix_text" --out "$work/im.gguf" >/dev/null
printf 'source %.3f\n' "$(perplexity "$model")"
for type in "${types[@]}"; do
  for importances in none imatrix; do
    with=()
    [ $importances = none ] || with=(--imatrix "$work/im.gguf")
    "$lull" quantize "$model" "$work/lull.gguf" --force --type "$type" "${with[@]}" >/dev/null 2>&1
    line "$type" lull $importances "$work/lull.gguf"
    LD_LIBRARY_PATH=$llama "$llama/llama-quantize" --allow-requantize "${with[@]}" "$model" "$work/llama.gguf" "$type" >/dev/null 2>&1
    line "$type" llama $importances "$work/llama.gguf"
  done
done
