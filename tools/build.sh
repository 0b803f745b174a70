#!/usr/bin/env bash
# build.sh PRESET [TARGET...]: configures build/PRESET once and builds. Prints only on trouble or
# when there is work to do.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
[ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" >/dev/null
if [ -t 2 ]; then
  NINJA_STATUS='[%f/%t] ' ninja -C "build/$preset" "$@" >&2
else
  log="build/$preset/build.log"
  ninja -C "build/$preset" "$@" >"$log" 2>&1 || { tail -n 60 "$log" >&2; exit 1; }
fi
