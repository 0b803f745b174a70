#!/usr/bin/env bash
# Ten thousand texts written under random schemas, judged by Python's jsonschema (fetched from PyPI).
set -euo pipefail
cd "$(dirname "$0")/.."
packages=build/python-jsonschema
export PYTHONPATH=$PWD/$packages PYTHONDONTWRITEBYTECODE=1
python3 -c 'import jsonschema, rfc3339_validator' 2>/dev/null ||
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --target "$packages" 'jsonschema[format]'
texts=$(mktemp)
trap 'rm -f "$texts"' EXIT
LULL_GRAMMAR_TEXTS=$texts build/release/grammar_test --gtest_filter='RandomWalkSlow.TenThousandTexts' >/dev/null
python3 tests/grammar/check_with_jsonschema.py "$texts"
