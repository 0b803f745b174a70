#!/usr/bin/env python3
"""Compares importance matrices: lull imatrix's and llama-imatrix's of the same model and text.

  compare_imatrix.py LULL.gguf LLAMA.gguf

Prints how many matrices each has, whether the counts are equal, and the largest difference of a matrix: 1 - cosine of the
sums of squares, or their total's ratio - 1. Needs the Python packages gguf and numpy.
"""
import sys

import gguf
import numpy as np


def read(path):
    return {tensor.name: np.array(tensor.data, np.float64).ravel() for tensor in gguf.GGUFReader(path).tensors
            if tensor.name.endswith((".in_sum2", ".counts"))}


def main():
    ours, theirs = read(sys.argv[1]), read(sys.argv[2])
    worst, unequal = 0.0, 0
    for name in ours.keys() & theirs.keys():
        a, b = ours[name], theirs[name]
        if name.endswith(".counts"):
            unequal += not np.array_equal(np.broadcast_to(b, a.shape) if b.size == 1 else b, a)
        elif a.shape == b.shape and b.any():
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            worst = max(worst, 1 - cosine, abs(a.sum() / b.sum() - 1))
        else:
            unequal += 1
    print(f"{len(ours) // 2} and {len(theirs) // 2} matrices, {len(ours.keys() & theirs.keys()) // 2} in both, "
          f"{unequal} with other counts or shapes, largest difference {worst:.2g}")


if __name__ == "__main__":
    main()
