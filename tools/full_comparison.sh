#!/usr/bin/env bash
# full_comparison.sh: Lull against llama.cpp, jinja2 and the gguf package: token ids, chat templates, logits,
# goldens, quality; what the KV types cost; and folders of safetensors against the transformers library, which comes with
# 3 GB of packages. ./test --full runs it. Every comparison runs whatever the others gave; ends with 1 and
# a list where one failed. LULL_TEST_MODELS: the folder of the real models.
#   full_comparison.sh [NAME...]   only those: tokenizer templates logits goldens quality kv safetensors
set -euo pipefail
cd "$(dirname "$0")/.."
strings=20000
build=build/release
: "${LULL_TEST_MODELS:?set it to the folder of the real models}"

# Python packages beside the build: --target asks for no virtual environment, and nothing is installed elsewhere.
packages=build/python
requirements=(gguf==0.19.0 jinja2==3.1.6 numpy)
export PYTHONPATH=$PWD/$packages PYTHONDONTWRITEBYTECODE=1
if [ "$(cat "$packages/.requirements" 2>/dev/null)" != "${requirements[*]}" ]; then
  echo "full: installing ${requirements[*]} into $packages" >&2
  rm -rf "$packages"
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --target "$packages" "${requirements[@]}"
  echo "${requirements[*]}" >"$packages/.requirements"
fi

mapfile -t llama_cpp < <(tools/build_llama_cpp.sh)
[ ${#llama_cpp[@]} -eq 2 ] || { echo "full: llama.cpp could not be built" >&2; exit 3; }
source=${llama_cpp[0]} oracles=${llama_cpp[1]}
bash tools/build.sh release lull tokenize_dump render_template parse_answer logits_dump make_tiny_model

real_models=("$LULL_TEST_MODELS/smollm2.gguf" "$LULL_TEST_MODELS/gemma3-270m.gguf")
compare_tokenizer() {
  python3 tools/compare_tokenizer.py --oracle "$oracles/tokenize_oracle" --lull "$build/tokenize_dump" \
    --table --count "$strings" "${real_models[@]}" "$source"/models/ggml-vocab-*.gguf
}
compare_templates() {
  local status=0
  python3 tools/compare_templates.py --renderer "$build/render_template" --templates "$source/models/templates" \
    --table --gguf "${real_models[@]}" || status=1
  python3 tools/compare_calls.py --parser "$build/parse_answer" --templates "$source/models/templates" \
    --golden build/calls.json || status=1
  diff -q build/calls.json tests/service/goldens/calls.json || status=1
  return "$status"
}
compare_logits() {
  python3 tools/compare_logits.py --oracle "$oracles/logits_oracle" --build "$build" | grep -v '^{'
}
compare_goldens() {
  local out=build/goldens status=0 folder
  rm -rf "$out"
  bash tools/make_goldens.sh "$out" || return 1
  for folder in chat/goldens quant/goldens tokenizer/golden; do
    diff -rq "$out/$folder" "tests/$folder" || status=1
  done
  return "$status"
}
compare_quality() {
  python3 tools/compare_quality.py --build "$build" --oracle "$oracles" --model "smollm2=${real_models[0]}" \
    --model "gemma3-270m=${real_models[1]}"
}

compare_kv() {
  python3 tools/compare_kv.py --build "$build" --model "smollm2=${real_models[0]}" --model "gemma3-270m=${real_models[1]}"
}
compare_safetensors() {
  python3 tools/compare_hf_tokenizer.py --build "$build" --vocabs "$source/models" --count 3000 "${real_models[1]}" || return 1
  python3 tools/compare_safetensors.py --build "$build" --table && python3 tools/compare_safetensors.py --build "$build" --defects llama gemma2 &&
    python3 tools/compare_safetensors.py --build "$build" --adapters &&
    python3 tools/compare_converters.py --build "$build" --llama-cpp "$source"
}

comparisons=("$@")
[ $# -gt 0 ] || comparisons=(tokenizer templates logits goldens quality kv safetensors)
failed=()
for name in "${comparisons[@]}"; do
  echo "== $name"
  "compare_$name" || failed+=("$name")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "full: different or failed: ${failed[*]}" >&2
  exit 1
fi
echo "full: ${#comparisons[@]} comparisons, none different"
