#!/usr/bin/env python3
"""What the type of keys and values costs: one text, the same weights, each KV type beside F32.

  compare_kv.py --model NAME=PATH --build build/release [--ctx 512] [--bytes 30000] [--json]

Perplexity over the second half of each chunk and the mean KL divergence, in nats, from the distribution
with F32 keys and values to that with the type. Activations are 8-bit: the least change of a key turns
some of their roundings, so even F16 is off by a floor, and q8_0 is held against F16. Exits 1 where q8_0 misses a bound. Needs numpy and gguf.
"""
import argparse
import contextlib
import json
import pathlib
import sys
import tempfile

import numpy as np

import compare_quality as quality

TYPES = ("f32", "f16", "bf16", "q8_0")
BOUNDS = {"perplexity_to_f16_deviation": 0.005, "kl_to_f16_ratio": 1.6, "flip_share": 0.02}


class Engines(quality.Engines):
    def ids(self, data, special):
        flag = [] if special else ["--no-special"]
        return json.loads(quality.run([self.lull, "tokenize", self.path, "--json"] + flag, data).stdout)["tokens"]

    def dump(self, tokens, kv_type):
        return self.dump_lull(tokens) + ["--kv", kv_type]


def compare(engines, args, folder):
    chunks, vocab, first = quality.text_chunks(engines, args), engines.vocab(), args.ctx // 2
    tokens = folder / "text.tokens"
    quality.write_lines(tokens, [(first, chunk) for chunk in chunks])
    nll, divergence = dict.fromkeys(TYPES, 0.0), {name: [] for name in TYPES[1:]}
    flips = {name: quality.Flips(args.flip_gap) for name in TYPES[1:]}
    progress = quality.Progress(f"{args.ctx} tokens", len(chunks) * (args.ctx - first - 1))
    with contextlib.ExitStack() as stack:
        sources = {name: stack.enter_context(quality.rows_of(engines.dump(tokens, name), vocab)) for name in TYPES}
        for chunk in chunks:
            for i in range(first, args.ctx):
                rows = {name: source() for name, source in sources.items()}
                if i + 1 == args.ctx:
                    continue  # no next token to predict
                logprobs = {name: quality.log_softmax(row) for name, row in rows.items()}
                for name in TYPES:
                    nll[name] -= logprobs[name][chunk[i + 1]]
                for name in TYPES[1:]:
                    divergence[name].append(quality.kl(logprobs["f32"], logprobs[name]))
                    flips[name].add(logprobs[name], logprobs["f32"])
                progress.at(len(divergence["f16"]))
    count = len(divergence["f16"])
    result = {"f32": {"perplexity": float(np.exp(nll["f32"] / count))}}
    for name, values in divergence.items():
        result[name] = {"perplexity": float(np.exp(nll[name] / count)), "mean_kl_from_f32": float(np.mean(values)),
                        "standard_error_of_kl": float(np.std(values, ddof=1) / count ** 0.5),
                        "max_kl_from_f32": float(np.max(values)), "flip_share": flips[name].summary()["flip_share"]}
    return {"text": args.text.name, "ctx": args.ctx, "chunks": len(chunks), "tokens": count, "kv": result}


def missed(result):
    types = result["kv"]
    values = {"perplexity_to_f16_deviation": abs(types["q8_0"]["perplexity"] / types["f16"]["perplexity"] - 1),
              "kl_to_f16_ratio": types["q8_0"]["mean_kl_from_f32"] / types["f16"]["mean_kl_from_f32"],
              "flip_share": types["q8_0"]["flip_share"]}
    return [f"{key} {value:.5f}, at most {BOUNDS[key]}" for key, value in values.items() if value > BOUNDS[key]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=PATH")
    parser.set_defaults(activation_type="q8_0")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="has lull and logits_dump")
    parser.add_argument("--text", type=pathlib.Path, default=pathlib.Path("/usr/share/common-licenses/GPL-3"))
    parser.add_argument("--bytes", type=int, default=30000)
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=0, help="0: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--flip-gap", type=float, default=0.15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.oracle = None
    failed = False
    for name, path in (model.split("=", 1) for model in args.model):
        with tempfile.TemporaryDirectory() as folder:
            result = compare(Engines(args, path, None), args, pathlib.Path(folder))
        if args.json:
            print(json.dumps({"model": name, **result}))
        else:
            for kv_type, row in result["kv"].items():
                print(f"{name} {args.ctx} {kv_type:5}", *(f"{key} {value:.6f}" for key, value in row.items()))
        for line in missed(result):
            print(f"{name}: q8_0 misses a bound: {line}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
