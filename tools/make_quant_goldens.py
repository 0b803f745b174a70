#!/usr/bin/env python3
"""Writes tests/quant/goldens/<TYPE>.bin: random blocks and the gguf package's dequantised values.

Format, little-endian: u32 type id, u32 blocks, u32 bytes of a block, u32 weights of a block, then all
block bytes, then all weights as f32. Needs the Python packages gguf and numpy; types that the
package does not dequantise are llama.cpp's, and written where its libggml-base.so is named.

  make_quant_goldens.py [--ggml LIBGGML_BASE] [FOLDER]
"""
import argparse
import ctypes
import pathlib
import struct

import gguf
import numpy as np

SEED = 20240607
WEIGHTS = 512
# Offsets of the f16 fields of a block: kept finite, everything else is random bytes.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0],
          "IQ4_XS": [0], "MXFP4": [], "TQ2_0": [64], "TQ1_0": [52]}
# Of llama.cpp alone: the type's number, weights and bytes of a block, offsets of its f16 fields.
LLAMA_CPP = {"Q1_0": (41, 128, 18, [0]), "Q2_0": (42, 64, 18, [0])}
FLOATS = ["F32", "F16", "BF16"]


def float_blocks(name, rng):
    values = rng.standard_normal(WEIGHTS).astype(np.float32) * np.float32(2.0) ** rng.integers(-20, 10, WEIGHTS)
    values = values.astype(np.float32)
    values[:4] = [0.0, -0.0, 1.0, -1e-7]  # the last is subnormal in f16
    if name == "F32":
        return values.view(np.uint8).reshape(-1, 4)
    if name == "F16":
        return values.astype(np.float16).view(np.uint8).reshape(-1, 2)
    return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).reshape(-1, 2)


def quant_blocks(name, block, size, halves_at, rng):
    blocks = rng.integers(0, 256, (WEIGHTS // block * (1 if block == 256 else 2), size), dtype=np.uint8)
    for offset in halves_at:
        halves = blocks[:, offset:offset + 2].copy().view(np.uint16)
        halves &= 0xBFFF  # exponent below 16: finite, subnormals included
        blocks[:, offset:offset + 2] = halves.view(np.uint8)
    if name == "MXFP4":
        blocks[:5, 0] = [0, 1, 2, 254, 255]  # subnormal scales and the largest
    return blocks


def write(folder, name, type_id, blocks, weights):
    header = struct.pack("<4I", type_id, blocks.shape[0], blocks.shape[1], weights.size // blocks.shape[0])
    (folder / f"{name}.bin").write_bytes(header + blocks.tobytes() + weights.tobytes())


def write_llama_cpps(folder, library):
    ggml = ctypes.CDLL(library)
    for name, (type_id, block, size, halves_at) in LLAMA_CPP.items():
        blocks = quant_blocks(name, block, size, halves_at, np.random.default_rng(SEED))
        weights = np.zeros(blocks.shape[0] * block, np.float32)
        getattr(ggml, "dequantize_row_" + name.lower())(
            blocks.ctypes.data_as(ctypes.c_void_p), weights.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(weights.size))
        write(folder, name, type_id, blocks, weights)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path,
                        default=pathlib.Path(__file__).parent.parent / "tests/quant/goldens")
    parser.add_argument("--ggml", help="libggml-base.so of llama.cpp")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in FLOATS + list(HALVES):
        rng, qtype = np.random.default_rng(SEED), gguf.GGMLQuantizationType[name]
        blocks = (float_blocks(name, rng) if name in FLOATS else
                  quant_blocks(name, *gguf.GGML_QUANT_SIZES[qtype], HALVES[name], rng))
        weights = gguf.quants.dequantize(blocks.reshape(1, -1), qtype).astype(np.float32).ravel()
        write(args.folder, name, qtype.value, blocks, weights)
    if args.ggml:
        write_llama_cpps(args.folder, args.ggml)


if __name__ == "__main__":
    main()
