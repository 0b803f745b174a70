#!/usr/bin/env bash
# Ten thousand texts written under random schemas, judged by Python's jsonschema (fetched from PyPI).
set -euo pipefail
cd "$(dirname "$0")/.."
venv=build/venv-jsonschema
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import jsonschema, rfc3339_validator' 2>/dev/null ||
  "$venv/bin/pip" install --quiet 'jsonschema[format]'
texts=$(mktemp)
trap 'rm -f "$texts"' EXIT
LULL_GRAMMAR_TEXTS=$texts build/release/grammar_test --gtest_filter='RandomWalkSlow.TenThousandTexts' >/dev/null
"$venv/bin/python" tests/grammar/check_with_jsonschema.py "$texts"
