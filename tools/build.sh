#!/usr/bin/env bash
# build.sh PRESET [TARGET...]: configures build/PRESET once and builds. Prints only on trouble or
# when there is work to do.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
folder=build/$preset

# A build folder that came along with a moved or copied tree knows the wrong paths.
if [ -f "$folder/CMakeCache.txt" ] &&
    ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" "$folder/CMakeCache.txt"; then
  rm -rf "$folder"
fi
mkdir -p "$folder"
log=$folder/build.log
if [ ! -f "$folder/build.ninja" ]; then
  echo "build: configuring $folder" >&2
  cmake --preset "$preset" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi

if [ -t 2 ]; then
  NINJA_STATUS='[%f/%t] ' ninja -C "$folder" "$@" >&2
  exit
fi
# Not a terminal: the log keeps everything, a line a minute shows that it moves.
start=$SECONDS
NINJA_STATUS='[%f/%t] ' ninja -C "$folder" "$@" 2>&1 | while IFS= read -r line; do
  printf '%s\n' "$line"
  if [[ $line == \[* ]] && [ $((SECONDS - start)) -ge 60 ]; then
    start=$SECONDS
    echo "build: ${line%% *} $folder" >&2
  fi
done >"$log" || { tail -n 60 "$log" >&2; exit 1; }
