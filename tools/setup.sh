#!/usr/bin/env bash
# Installs what building Lull needs on Debian 12, and nothing where it is already there.
set -euo pipefail

packages=(
  g++ cmake ninja-build git ca-certificates python3 python3-pip
  libboost1.81-dev nlohmann-json3-dev libcli11-dev
  libssl-dev zlib1g-dev libcurl4-openssl-dev libgtest-dev libgmock-dev
)

# The usual case first: one question for all.
if dpkg-query -W -f='${Status}\n' "${packages[@]}" 2>/dev/null | grep -c 'install ok installed' |
    grep -qx "${#packages[@]}"; then
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  # Some of these exist outside the package manager too (a Python or CMake of the user's own).
  case "$package" in
    g++|cmake|git|python3) command -v "$package" >/dev/null && continue ;;
    ninja-build) command -v ninja >/dev/null && continue ;;
    pkg-config) command -v pkg-config >/dev/null && continue ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 && continue ;;
  esac
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "setup: not root and no sudo; install by hand: ${missing[*]}" >&2; exit 3; }
  as_root=(sudo)
fi
echo "setup: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-remove --no-install-recommends "${missing[@]}" >/dev/null
