#!/usr/bin/env bash
# Installs what building Lull needs on Debian 12, and nothing where it is already there.
#   setup.sh [PACKAGE...]   these too
set -euo pipefail

packages=(
  g++ cmake ninja-build git ca-certificates python3 python3-pip
  libboost1.81-dev nlohmann-json3-dev libcli11-dev
  libssl-dev zlib1g-dev libcurl4-openssl-dev libtomlplusplus-dev libseccomp-dev libgtest-dev libgmock-dev
)
packages+=("$@")

# What this script once found in order is not asked about at every start.
done_mark=$(dirname "$0")/../build/.setup_done
if [ $# -eq 0 ] && [ "$done_mark" -nt "$0" ]; then exit 0; fi
mark_done() { mkdir -p "${done_mark%/*}" && touch "$done_mark"; }

say() { echo "setup: $*" >&2; }

# lull pull and the comparisons ask the Python that comes first in PATH for its pip; apt's pip belongs to
# the system's Python alone.
check_pip() {
  # Without starting pip, which takes longer than the first answer.
  python3 -c 'import importlib.util as i, sys; sys.exit(i.find_spec("pip") is None)' 2>/dev/null && return
  say "$(command -v python3) has no pip, with which models are fetched. Either"
  say "  give it one:                       python3 -m ensurepip --upgrade"
  say "  or use the system's Python first:  PATH=/usr/bin:\$PATH ./run"
  exit 3
}

# The usual case first: one question for all.
if dpkg-query -W -f='${Status}\n' "${packages[@]}" 2>/dev/null | grep -c 'install ok installed' |
    grep -qx "${#packages[@]}"; then
  check_pip
  mark_done
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  # Some of these exist outside the package manager too (a Python or CMake of the user's own).
  case "$package" in
    g++|cmake|git|python3) command -v "$package" >/dev/null && continue ;;
    ninja-build) command -v ninja >/dev/null && continue ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 && continue ;;
  esac
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  check_pip
  mark_done
  exit 0
fi

by_hand="apt-get install --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
  say "this machine has no apt-get; install what Debian 12 calls: ${missing[*]}"
  exit 3
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    say "packages are missing and there is neither root nor sudo. As root, run:"
    say "  $by_hand"
    exit 3
  fi
  as_root=(sudo)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {  # another package manager at work is waited for
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -o DPkg::Lock::Timeout=300 "$@"
}
# apt's status lines (dlstatus:N:PERCENT:TEXT) become one redrawn line, or a line per 20 % where
# nobody watches; all else goes to the log. sudo passes no descriptor but the first three.
show_progress() {
  local line percent text step last="" terminal=0
  [ -t 2 ] && terminal=1
  while IFS= read -r line; do
    case "$line" in
      dlstatus:*) text="downloading" ;;
      pmstatus:*) text="unpacking and configuring" ;;
      *) printf '%s\n' "$line" >>"$log"; continue ;;
    esac
    percent=${line#*:*:}
    percent=${percent%%[.:]*}
    case "$percent" in ''|*[!0-9]*) continue ;; esac
    step="$text $((percent / (terminal ? 1 : 20)))"
    [ "$step" = "$last" ] && continue
    last=$step
    if [ "$terminal" = 1 ]; then printf '\rsetup: %-26s %3d %%' "$text" "$percent" >&2
    else say "$text, $percent %"; fi
  done
  [ "$terminal" = 1 ] && [ -n "$last" ] && echo >&2
  return 0
}
fail() {
  grep '^E:' "$log" | tail -n 4 >&2 || grep -v '^(Reading' "$log" | tail -n 8 >&2
  say "the packages could not be installed. Check the network and /etc/apt/sources.list, then run this again, or by hand:"
  say "  apt-get update && $by_hand"
  exit 3
}

say "installing ${missing[*]}"
say "asking the package servers"
apt update -qq >"$log" 2>&1 || fail
install() {
  apt install -y -q --no-remove --no-install-recommends -o APT::Status-Fd=1 "${missing[@]}" 2>>"$log" | show_progress
}
if ! install; then
  # An installation that was killed half way has to be ended first.
  grep -q 'dpkg --configure -a' "$log" || fail
  say "ending an interrupted installation"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >>"$log" 2>&1 || fail
  : >"$log"
  install || fail
fi
check_pip
mark_done
