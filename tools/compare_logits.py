#!/usr/bin/env python3
"""Compares Lull's logits with llama.cpp's, position by position.

Tiny random-weight models of every architecture and type, or one real model:
  compare_logits.py --oracle build/oracle/logits_oracle --build build/release
  compare_logits.py --oracle ... --build ... --model smollm2.gguf --tokens ids.txt

Positions at which a router's choice is a near-tie (a gap below --tie between a chosen and a
rejected expert, in the double-precision reference) are counted apart: which expert wins there is
noise. Prints one line per model, then a JSON summary; exits 1 where a median cosine to llama.cpp is
below --limit and Lull is also farther from the double-precision result than llama.cpp.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np

ARCHS = ["llama", "gemma3", "lfm2", "lfm2moe", "qwen2", "qwen3"]
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]


def run(command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{command[0]} failed ({result.returncode}): {result.stderr.strip()[-500:]}")
    return result.stdout


def cosines(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def load(path, count):
    return np.fromfile(path, np.float32).reshape(count, -1)


def measure(args, model, tokens_path, count, folder, reference):
    lull, oracle, exact = folder / "lull.f32", folder / "oracle.f32", folder / "exact.f32"
    dump = args.build / "logits_dump"
    run([dump, model, tokens_path, lull] + (["--isa", args.isa] if args.isa else []))
    run([args.oracle, model, tokens_path, oracle])
    a, b = load(lull, count), load(oracle, count)
    row = {"positions": count}
    clear = np.ones(count, bool)
    if reference:
        margins = np.array([float(x) for x in run([dump, model, tokens_path, exact, "--reference"]).split()])
        clear = margins >= args.tie
        c = load(exact, count)
        keep = clear if clear.any() else np.ones(count, bool)
        row["lull_to_double"] = float(np.median(cosines(a, c)[keep]))
        row["llama_cpp_to_double"] = float(np.median(cosines(b, c)[keep]))
    row["near_ties_excluded"] = int((~clear).sum())
    cos = cosines(a, b)[clear] if clear.any() else np.array([1.0])
    row["cosine_min"], row["cosine_median"] = float(cos.min()), float(np.median(cos))
    row["top1_agreement"] = float((a.argmax(1) == b.argmax(1))[clear].mean()) if clear.any() else 1.0
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="has logits_dump and make_tiny_model")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--tokens", type=pathlib.Path, help="with --model: a file of token ids")
    parser.add_argument("--isa", default="")
    parser.add_argument("--arch", nargs="*", default=ARCHS)
    parser.add_argument("--type", nargs="*", default=TYPES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--embd", type=int, default=256, help="width of the tiny models")
    parser.add_argument("--count", type=int, default=48, help="tokens per tiny model")
    parser.add_argument("--tie", type=float, default=0.02)
    parser.add_argument("--limit", type=float, default=0.999)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if args.model:
            count = len(args.tokens.read_text().split())
            rows.append({"model": args.model.name, **measure(args, args.model, args.tokens, count, folder, False)})
        else:
            tokens = folder / "tokens"
            rng = random.Random(args.seed)
            tokens.write_text(" ".join(str(rng.randrange(320)) for _ in range(args.count)))
            for arch in args.arch:
                for kind in args.type:
                    model = folder / "tiny.gguf"
                    run([args.build / "make_tiny_model", "--arch", arch, "--type", kind, "--seed", args.seed,
                         "--embd", args.embd, "--out", model])
                    rows.append({"model": f"{arch} {kind}", **measure(args, model, tokens, args.count, folder, True)})
                    print(f"{arch:8} {kind:5} " + " ".join(f"{k} {v:.6g}" for k, v in rows[-1].items() if k != "model"))
    print(json.dumps({"results": rows}))
    bad = [row for row in rows if row["cosine_median"] < args.limit
           and not row.get("lull_to_double", 0) >= row.get("llama_cpp_to_double", 1)]
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
