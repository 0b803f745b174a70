#!/usr/bin/env python3
"""Writes a GGUF file with every tensor widened to F32: the same model without quantised arithmetic.

  dequantize_gguf.py IN.gguf OUT.gguf

Metadata is copied byte by byte (general.file_type keeps naming the old type). Needs the gguf package.
"""
import argparse
import math
import pathlib
import struct
import sys

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize


def f32_infos(tensors, alignment):
    """Tensor descriptions for F32 data, back to back; each offset aligned."""
    out, offset = [], 0
    for tensor in tensors:
        name = tensor.name.encode()
        dims = [int(d) for d in tensor.shape]
        offset = -(-offset // alignment) * alignment
        out.append(struct.pack("<Q", len(name)) + name + struct.pack("<I", len(dims))
                   + struct.pack(f"<{len(dims)}Q", *dims) + struct.pack("<IQ", 0, offset))
        offset += 4 * math.prod(dims)
    return b"".join(out)


def pad(file, alignment):
    file.write(bytes(-file.tell() % alignment))


def widen(source, target):
    reader = GGUFReader(source)
    keys_end = min(tensor.field.offset for tensor in reader.tensors)
    with open(source, "rb") as file:
        head = file.read(keys_end)
    with open(target, "wb") as file:
        file.write(head)
        file.write(f32_infos(reader.tensors, reader.alignment))
        for tensor in reader.tensors:
            pad(file, reader.alignment)
            file.write(np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), np.float32).tobytes())
        pad(file, reader.alignment)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("target", type=pathlib.Path)
    args = parser.parse_args()
    if args.source.resolve() == args.target.resolve():
        sys.exit("IN and OUT are the same file")
    widen(args.source, args.target)


if __name__ == "__main__":
    main()
