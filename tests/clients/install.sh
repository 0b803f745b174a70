#!/usr/bin/env bash
# Installs the clients of requirements.txt under build/venv-clients, and nothing where they are there.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=build/venv-clients
stamp=$target/.installed
if cmp -s tests/clients/requirements.txt "$stamp"; then exit 0; fi
rm -rf "$target"
python3 -m pip install --quiet --disable-pip-version-check --target "$target" -r tests/clients/requirements.txt
cp tests/clients/requirements.txt "$stamp"
