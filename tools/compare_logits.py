#!/usr/bin/env python3
"""Compares Lull's logits with llama.cpp's, position by position.

Tiny random-weight models of every architecture and type, or one real model:
  compare_logits.py --oracle build/oracle/logits_oracle --build build/release
  compare_logits.py --oracle ... --build ... --model smollm2.gguf --tokens ids.txt
  compare_logits.py --oracle ... --build ... --defects

Which expert wins a near-tie of a router (a gap below --tie between a chosen and a rejected expert, in
the double-precision reference) is noise. Positions with one are counted apart, and so are those with a
gap below --parted-tie at which the two programs did part, and the positions whose convolutions still see
a near-tie at which they did. What attention or a state carries on from there reaches further: where a
tiny model falls below --limit at a position behind one that parted, or has near-ties alone, it is drawn
anew, weights and tokens, and the row says how often (redraws).

Exits 1 where the cosine at any other position is below --limit. --defects gives Lull files with one
seeded defect each, and exits 1 where one of them would have passed (needs the gguf package).
"""
import argparse
import datetime
import itertools
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import numpy as np

ARCHS = ["llama", "gemma3", "lfm2", "lfm2moe", "qwen2", "qwen3", "qwen3moe", "smollm3", "granite", "granitemoe", "olmo2",
         "gemma2", "phi3", "mistral3", "gpt-oss", "mamba", "mamba2", "granitehybrid", "qwen35", "qwen35moe",
         "gemma4-e", "gemma4-moe", "deepseek2", "glm4", "cohere2"]
# Beside the shape of the tiny models' own: rows that no block of 256 divides, 25 heads, an odd vocabulary; one KV head and
# the embedding as the head.
SHAPES = {"plain": [], "odd": ["--embd", 1600, "--heads", 25, "--kv-heads", 5, "--ffn", 1056, "--vocab", 331],
          "multi-query": ["--heads", 8, "--kv-heads", 1, "--vocab", 347, "--tied"]}
REDRAWS = 5
CONVOLUTION_REACH = 2  # tokens behind a position, of the tiny models' three taps
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K",
         "Q2_K", "Q3_K", "IQ4_NL", "IQ4_XS", "MXFP4", "TQ1_0", "TQ2_0", "Q1_0", "Q2_0"]


def run(command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{command[0]} failed ({result.returncode}): {result.stderr.strip()[-500:]}")
    return result.stdout


def cosines(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def load(path, count):
    logits = np.fromfile(path, np.float32).reshape(count, -1)
    if not np.isfinite(logits).all():
        sys.exit(f"{path.stem}: a logit is not finite")
    return logits


def split_near_ties(cos, margins, args):
    """Which positions count, and how many near-ties there are, parted, and behind those."""
    near = (margins < args.tie) | ((margins < args.parted_tie) & (cos < args.limit))
    parted = np.flatnonzero(near & (cos < args.limit))
    behind = np.zeros(len(cos), bool)
    for position in parted:
        behind[position + 1:position + 1 + CONVOLUTION_REACH] = True
    counts = {"near_ties": int(near.sum()), "parted": len(parted), "behind_parted": int((behind & ~near).sum())}
    counted = ~near & ~behind
    below = np.flatnonzero(counted & (cos < args.limit))
    # Whether a parting before them may be why, for all of them.
    explained = len(parted) > 0 and len(below) > 0 and below[0] > parted[0]
    return counted, {**counts, "tells": bool(counted.any() and not explained)}


def measure(args, model, tokens_path, count, folder, reference, lulls_model=None, lora=None):
    """lulls_model: another file for Lull than for llama.cpp and the reference."""
    lora = ["--lora", lora] if lora else []
    lull, oracle, exact = folder / "lull.f32", folder / "oracle.f32", folder / "exact.f32"
    dump = args.build / "logits_dump"
    run([dump, lulls_model or model, tokens_path, lull] + (["--isa", args.isa] if args.isa else []) + lora)
    run([args.oracle, model, tokens_path, oracle] + lora)
    a, b = load(lull, count), load(oracle, count)
    cos, counted, row = cosines(a, b), np.ones(count, bool), {"positions": count}
    if reference:
        margins = [float(x) for x in run([dump, model, tokens_path, exact, "--reference"]).split()]
        counted, counts = split_near_ties(cos, np.array(margins), args)
        row.update(counts)
        if not counted.any():
            return row
        c = load(exact, count)
        row["lull_to_double"] = float(np.median(cosines(a, c)[counted]))
        row["llama_cpp_to_double"] = float(np.median(cosines(b, c)[counted]))
    cos = cos[counted]
    row["counted"], row["below_limit"] = len(cos), int((cos < args.limit).sum())
    row["cosine_min"], row["cosine_median"] = float(cos.min()), float(np.median(cos))
    row["top1_agreement"] = float((a.argmax(1) == b.argmax(1))[counted].mean())
    return row


def swap(first, second):
    """Exchanges two tensors of one shape and type in the last layer that has both."""
    def apply(reader):
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        pairs = [(tensor, tensors[name.replace(first, second)]) for name, tensor in tensors.items()
                 if first in name and name.replace(first, second) in tensors]
        if not pairs:
            return False
        a, b = max(pairs, key=lambda pair: pair[0].name)
        kept = a.data.copy()
        a.data[:], b.data[:] = b.data, kept
        return True
    return apply


def scale_key(key, factor):
    def apply(reader):
        for name, field in reader.fields.items():
            if name.endswith(key):
                field.parts[field.data[0]][0] *= factor
                return True
        return False
    return apply


def reverse_taps(reader):
    for tensor in reader.tensors:
        if tensor.name.endswith("shortconv.conv.weight"):
            tensor.data[:] = tensor.data[:, ::-1].copy()
            return True
    return False


DEFECTS = {"rope base x 0.1": scale_key("rope.freq_base", 0.1), "two norms swapped": swap("attn_norm.", "ffn_norm."),
           "gate and up of one layer swapped": swap("ffn_gate.", "ffn_up."),
           "experts' gate and up of one layer swapped": swap("ffn_gate_exps", "ffn_up_exps"),
           "K and V of one layer swapped": swap("attn_k.", "attn_v."),
           "one convolution backwards": reverse_taps}


def measure_defects(args, arch, kind, model, tokens, folder):
    from gguf import GGUFReader
    rows = []
    for name, apply in DEFECTS.items():
        broken = folder / "broken.gguf"
        shutil.copy(model, broken)
        if apply(GGUFReader(broken, "r+")):
            rows.append({"model": f"{arch} {kind}", "defect": name,
                         **measure(args, model, tokens, args.count, folder, False, broken)})
            print(f"{arch:8} {kind:5} {name:42} cosine_min {rows[-1]['cosine_min']:.6g} "
                  f"cosine_median {rows[-1]['cosine_median']:.6g} below_limit {rows[-1]['below_limit']}", flush=True)
    return rows


def draw(args, arch, kind, shape, seed, folder):
    """Weights and tokens of a tiny model, and an adapter where one is wanted."""
    tokens, model, lora = folder / "tokens", folder / "tiny.gguf", None
    rng = random.Random(seed)
    tokens.write_text(" ".join(str(rng.randrange(320)) for _ in range(args.count)))
    make = [args.build / "make_tiny_model", "--seed", seed]
    run(make + ["--arch", arch, "--type", kind, "--embd", args.embd, "--out", model] + SHAPES[shape])
    if args.lora:
        lora = folder / "lora.gguf"
        run(make + ["--adapter-for", model, "--rank", args.lora, "--out", lora])
    return model, tokens, lora


def measure_one(args, arch, kind, shape, folder):
    """Drawn anew until the row tells whether the two programs agree; the last one stands where none does."""
    thrown_away = []
    for redraws in range(REDRAWS + 1):
        seed = args.seed + 1000 * redraws
        model, tokens, lora = draw(args, arch, kind, shape, seed, folder)
        row = measure(args, model, tokens, args.count, folder, not lora, None, lora)
        if row.pop("tells", True):
            break
        thrown_away.append({"seed": seed, **row})
    else:
        row.update({"counted": 0, "below_limit": 1, "cosine_min": 0.0})  # says nothing, which is no agreement
    row = {"model": f"{arch} {kind} {shape}", "seed": seed, "redraws": redraws, **row}
    return {**row, "thrown_away": thrown_away} if thrown_away else row


def measure_tiny(args, folder):
    rows = []
    for arch, kind, shape in itertools.product(args.arch, args.type, args.shape):
        if args.defects:
            model, tokens, _ = draw(args, arch, kind, shape, args.seed, folder)
            rows += measure_defects(args, arch, kind, model, tokens, folder)
            continue
        rows.append(measure_one(args, arch, kind, shape, folder))
        print(f"{rows[-1]['model']:32} " + " ".join(f"{k} {v:.6g}" for k, v in rows[-1].items() if k not in ("model", "thrown_away")),
              flush=True)
    return rows


def total(rows, key):
    return sum(row.get(key, 0) for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="has logits_dump and make_tiny_model")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--tokens", type=pathlib.Path, help="with --model: a file of token ids")
    parser.add_argument("--isa", default="")
    parser.add_argument("--arch", nargs="*", default=ARCHS)
    parser.add_argument("--type", nargs="*", default=TYPES)
    parser.add_argument("--shape", nargs="*", default=["plain"], choices=list(SHAPES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--embd", type=int, default=256, help="width of the tiny models")
    parser.add_argument("--lora", type=int, metavar="RANK", help="both with an adapter of random numbers; then router "
                        "near-ties are not told apart")
    parser.add_argument("--count", type=int, default=48, help="tokens per tiny model")
    parser.add_argument("--tie", type=float, default=0.02)
    parser.add_argument("--parted-tie", type=float, default=0.05)
    parser.add_argument("--defects", action="store_true", help="show that seeded defects are caught")
    parser.add_argument("--record", type=pathlib.Path, help="append a line of JSON")
    parser.add_argument("--limit", type=float, default=0.999)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if args.model:
            count = len(args.tokens.read_text().split())
            rows = [{"model": args.model.name, **measure(args, args.model, args.tokens, count, folder, False)}]
        else:
            rows = measure_tiny(args, folder)
    print(json.dumps({"results": rows}))
    if args.record:
        commit = run(["git", "-C", pathlib.Path(__file__).parent, "rev-parse", "--short=12", "HEAD"]).strip()
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        head = {"kind": "compare_logits", "time": now, "commit": commit, "seed": args.seed, "limit": args.limit,
                "lora_rank": args.lora}
        with args.record.open("a") as file:
            file.write(json.dumps({**head, "results": rows}) + "\n")
    if args.defects:
        missed = [f"{row['model']}: {row['defect']}" for row in rows if row["cosine_min"] >= args.limit]
        print(f"{len(rows) - len(missed)} of {len(rows)} seeded defects caught" + "".join(f"\nmissed: {m}" for m in missed))
        sys.exit(bool(missed))
    low = [row["model"] for row in rows if row["below_limit"]]
    print(f"{len(rows)} models, {total(rows, 'positions')} positions, {total(rows, 'near_ties')} near-ties apart "
          f"({total(rows, 'parted')} parted, {total(rows, 'behind_parted')} positions behind those), "
          f"{total(rows, 'redraws')} drawn anew, "
          f"{total(rows, 'counted')} counted; lowest cosine {min(row['cosine_min'] for row in rows):.6f}; "
          f"{total(rows, 'below_limit')} below {args.limit}" + "".join(f"\nbelow: {name}" for name in low))
    sys.exit(bool(low))


if __name__ == "__main__":
    main()
