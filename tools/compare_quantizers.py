#!/usr/bin/env python3
"""Compares Lull's quantizers with llama.cpp's: weighted squared errors of the same rows.

  compare_quantizers.py --ggml .../libggml-base.so --build build/release [--write]

Rows of four kinds (normal, Laplace, heavy tails, columns of different size), without and with an
importance for each column. Prints the ratio of the root-mean-square errors (below 1: Lull's is less)
and the nanoseconds a weight takes. --write keeps some of the rows and llama.cpp's errors for
tests/quantize. Needs the Python packages gguf and numpy.
"""
import argparse
import ctypes
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import gguf
import numpy as np

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4",
         "TQ1_0", "TQ2_0", "Q1_0", "Q2_0"]
# Those that the gguf package does not dequantise: number, weights and bytes of a block.
LLAMA_CPP = {"Q1_0": (41, 128, 18), "Q2_0": (42, 64, 18)}
GOLDENS = pathlib.Path(__file__).parent.parent / "tests/quantize/goldens"


def make_rows(rng, rows, k):
    columns = np.exp(0.7 * rng.standard_normal(k))
    kinds = [rng.standard_normal((rows, k)), rng.laplace(size=(rows, k)), rng.standard_t(4, (rows, k)),
             rng.standard_normal((rows, k)) * columns]
    importance = np.exp(1.5 * rng.standard_normal(k)).astype(np.float32)
    return [(0.02 * kind).astype(np.float32) for kind in kinds], importance


def number_and_sizes(name):
    if name in LLAMA_CPP:
        return LLAMA_CPP[name]
    qtype = gguf.GGMLQuantizationType[name]
    return (qtype.value, *gguf.GGML_QUANT_SIZES[qtype])


def pointer(array):
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


def llama_cpp(ggml, name, rows, importance):
    number, block, size = number_and_sizes(name)
    out = np.zeros(rows.size // block * size, np.uint8)
    start = time.monotonic()
    ggml.ggml_quantize_chunk(ctypes.c_int(number), pointer(rows), pointer(out), ctypes.c_int64(0),
                             ctypes.c_int64(rows.shape[0]), ctypes.c_int64(rows.shape[1]), pointer(importance))
    return out, time.monotonic() - start


def lull(build, name, rows, importance, folder):
    files = [folder / "rows", folder / "out"]
    rows.tofile(files[0])
    if importance is not None:
        importance.tofile(folder / "importance")
        files.append(folder / "importance")
    result = subprocess.run([build / "quantize_rows", name, str(rows.shape[1]), *files], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"quantize_rows {name}: {result.stderr}")
    return np.fromfile(files[1], np.uint8), float(result.stdout)


def dequantize(ggml, name, blocks, shape):
    if name not in LLAMA_CPP:
        return gguf.quants.dequantize(blocks.reshape(shape[0], -1), gguf.GGMLQuantizationType[name])
    out = np.zeros(shape, np.float32)
    getattr(ggml, "dequantize_row_" + name.lower())(pointer(blocks), pointer(out), ctypes.c_int64(out.size))
    return out


def error(ggml, name, blocks, rows, importance):
    got = dequantize(ggml, name, blocks, rows.shape).astype(np.float64)
    weights = 1.0 if importance is None else importance.astype(np.float64)
    return float((weights * (got - rows) ** 2).sum())


def compare(args, ggml, folder):
    kinds, importance = make_rows(np.random.default_rng(3), args.rows, args.k)
    worst = 0.0
    print("type     " + " ".join(f"{kind:>8}" for kind in ["normal", "laplace", "tails", "columns"] * 2) +
          "   ns/weight, llama.cpp's")
    for name in args.type:
        ratios, took, others = [], 0.0, 0.0
        for weights in (None, importance):
            for rows in kinds:
                theirs, their_seconds = llama_cpp(ggml, name, rows, weights)
                ours, our_seconds = lull(args.build, name, rows, weights, folder)
                ratios.append((error(ggml, name, ours, rows, weights) /
                               error(ggml, name, theirs, rows, weights)) ** 0.5)
                took, others = took + our_seconds, others + their_seconds
        count = 2 * len(kinds) * kinds[0].size
        print(f"{name:8} " + " ".join(f"{r:8.4f}" for r in ratios) +
              f"   {took / count * 1e9:.0f}, {others / count * 1e9:.0f}", flush=True)
        worst = max(worst, *ratios)
    print(f"greatest ratio {worst:.4f}")
    return worst


def write(ggml):
    """rows.f32: four kinds of two rows of 512, then 512 importances; errors.txt: llama.cpp's of all rows."""
    GOLDENS.mkdir(parents=True, exist_ok=True)
    kinds, importance = make_rows(np.random.default_rng(4), 2, 512)
    rows = np.concatenate(kinds)
    (GOLDENS / "rows.f32").write_bytes(rows.tobytes() + importance.tobytes())
    lines = ["# type, llama.cpp's sum of squared errors, and with importances"]
    for name in TYPES:
        errors = [error(ggml, name, llama_cpp(ggml, name, rows, w)[0], rows, w) for w in (None, importance)]
        lines.append(f"{name} {errors[0]:.9g} {errors[1]:.9g}")
    (GOLDENS / "errors.txt").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ggml", required=True, help="libggml-base.so of llama.cpp")
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"), help="has quantize_rows")
    parser.add_argument("--type", nargs="*", default=TYPES)
    parser.add_argument("--rows", type=int, default=16, help="of each kind")
    parser.add_argument("--k", type=int, default=1024)
    parser.add_argument("--limit", type=float, default=1.02, help="exits 1 above this ratio")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    ggml = ctypes.CDLL(args.ggml)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    if args.write:
        write(ggml)
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(compare(args, ggml, pathlib.Path(folder)) > args.limit)


if __name__ == "__main__":
    main()
