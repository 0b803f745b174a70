#!/usr/bin/env bash
# make_goldens.sh [FOLDER]: regenerates the goldens that come from other implementations: jinja2's
# renders, the gguf package's weights, llama.cpp's token ids of the real models. They go to
# FOLDER/{chat,quant,tokenizer}; without FOLDER over the committed ones in tests. Needs
# LULL_TEST_MODELS, tools/build_llama_cpp.sh, and the Python packages that tools/full_comparison.sh installs.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-tests}
export PYTHONPATH=${PYTHONPATH:-$PWD/build/python}
python3 tools/make_template_goldens.py "$out/chat/goldens"
mapfile -t llama_cpp < <(tools/build_llama_cpp.sh)
python3 tools/make_quant_goldens.py --ggml "${llama_cpp[0]}/build/bin/libggml-base.so" "$out/quant/goldens"
mkdir -p "$out/tokenizer/golden"
for model in smollm2 gemma3-270m; do
  python3 tools/compare_tokenizer.py --oracle build/oracle/tokenize_oracle --seed 7 --count 300 \
    --golden "$out/tokenizer/golden/$model.txt" "$LULL_TEST_MODELS/$model.gguf"
done
python3 tools/compare_tokenizer.py --oracle build/oracle/tokenize_oracle --seed 7 --count 150 \
  --made-goldens "$out/tokenizer/golden/made"
