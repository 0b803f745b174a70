#!/usr/bin/env python3
"""Times Lull and llama.cpp side by side on the same files: prefill and decode, interleaved rounds.

Writes one JSON record with every sample and an SVG of the medians. Needs a built llama.cpp
(its llama-bench) and a built lull; measure while nothing else runs.

  bench/peers/compare.py --llama-bench PATH --lull build/release/lull \
      --model smollm2=PATH --model gemma3-270m=PATH --threads 1,2 --rounds 5 \
      --record bench/records/peers.jsonl --svg docs/images/peers.svg
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys

LLAMA_FLAGS = [["-fa", "0"], ["-fa", "1"]]  # the better one of a round counts


def busy_ticks():
    fields = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    return sum(fields) - fields[3] - fields[4], fields[7] if len(fields) > 7 else 0, sum(fields)


def run_json(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def time_llama(args, model, threads):
    best = {"prefill_tok_s": 0.0, "decode_tok_s": 0.0}
    for flags in LLAMA_FLAGS:
        rows = run_json([args.llama_bench, "-m", model, "-p", str(args.prompt), "-n", str(args.new), "-t", str(threads),
                         "-r", "1", "-o", "json"] + flags)
        for row in rows:
            key = "prefill_tok_s" if row["n_prompt"] > 0 else "decode_tok_s"
            best[key] = max(best[key], row["avg_ts"])
    return best


def time_lull(args, model, threads):
    row = run_json([args.lull, "bench", model, "-p", str(args.prompt), "-n", str(args.new), "-t", str(threads), "-r",
                    "1", "--json"])["results"][0]
    return {"prefill_tok_s": row["prefill_tok_s"]["median"], "decode_tok_s": row["decode_tok_s"]["median"],
            "bandwidth_share": row["bandwidth_share"],
            "cpu_s_per_1k_prefill": row["cpu_s_per_1k_prefill"], "cpu_s_per_1k_decode": row["cpu_s_per_1k_decode"]}


def summarize(samples):
    keys = samples[0].keys()
    return {key: {"median": statistics.median(s[key] for s in samples), "min": min(s[key] for s in samples),
                  "max": max(s[key] for s in samples), "samples": [s[key] for s in samples]} for key in keys}


def svg(rows, machine):
    """Two bars a row (llama.cpp = 1), prefill and decode of each model and thread count."""
    bar, gap, left, width = 16, 22, 250, 760
    items = [(f"{r['model']}, {r['threads']} thread{'s' if r['threads'] > 1 else ''}, {what}",
              r["lull"][key]["median"], r["llama.cpp"][key]["median"])
             for r in rows for what, key in (("prefill", "prefill_tok_s"), ("decode", "decode_tok_s"))]
    top = max(max(l, p) / p for _, l, p in items)
    scale = (width - left - 170) / top
    out, y = [], 56
    for label, lull, peer in items:
        out.append(f'<text x="{left - 10}" y="{y + bar}" text-anchor="end">{label}</text>')
        for value, colour, name in ((lull, "#2a7f62", "Lull"), (peer, "#b8b8b8", "llama.cpp")):
            w = value / peer * scale
            out.append(f'<rect x="{left}" y="{y}" width="{w:.1f}" height="{bar}" fill="{colour}"/>')
            out.append(f'<text x="{left + w + 6:.1f}" y="{y + bar - 3}">{value:,.0f} tok/s'
                       + (f' ({lull / peer:.2f}x)' if name == "Lull" else "") + '</text>')
            y += bar
        y += gap
    head = ('<text x="10" y="24" font-size="16" font-weight="bold">Tokens per second, same file, interleaved rounds</text>'
            f'<text x="10" y="42" fill="#666">green: Lull, grey: llama.cpp. {machine}</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="white"/>{head}{"".join(out)}</svg>\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--lull", default="build/release/lull")
    parser.add_argument("--model", action="append", required=True, metavar="NAME=PATH")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--llama-note", default="", help="how llama.cpp was built, kept in the record")
    parser.add_argument("--record")
    parser.add_argument("--svg")
    args = parser.parse_args()
    rows = []
    for spec in args.model:
        name, path = spec.split("=", 1)
        for threads in (int(t) for t in args.threads.split(",")):
            lull, llama, steal = [], [], []
            for _ in range(args.rounds):
                _, steal_before, all_before = busy_ticks()
                lull.append(time_lull(args, path, threads))
                llama.append(time_llama(args, path, threads))
                _, steal_after, all_after = busy_ticks()
                steal.append((steal_after - steal_before) / max(all_after - all_before, 1))
            row = {"model": name, "threads": threads, "lull": summarize(lull), "llama.cpp": summarize(llama),
                   "steal_share": steal}
            rows.append(row)
            ratio = {key: row["lull"][key]["median"] / row["llama.cpp"][key]["median"]
                     for key in ("prefill_tok_s", "decode_tok_s")}
            print(f"{name:14} {threads} threads: prefill {row['lull']['prefill_tok_s']['median']:8.1f} "
                  f"/ {row['llama.cpp']['prefill_tok_s']['median']:8.1f} = {ratio['prefill_tok_s']:.2f}x   "
                  f"decode {row['lull']['decode_tok_s']['median']:7.1f} / {row['llama.cpp']['decode_tok_s']['median']:7.1f} "
                  f"= {ratio['decode_tok_s']:.2f}x", flush=True)
    cpu = next((line.split(": ", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    machine = f"{cpu}, {os.cpu_count()} CPUs"
    record = {"kind": "peers", "llama.cpp": args.llama_note, "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "machine": machine, "prompt_tokens": args.prompt, "new_tokens": args.new, "rows": rows}
    if args.record:
        os.makedirs(os.path.dirname(args.record) or ".", exist_ok=True)
        with open(args.record, "a") as file:
            file.write(json.dumps(record) + "\n")
    if args.svg:
        with open(args.svg, "w") as file:
            file.write(svg(rows, machine))


if __name__ == "__main__":
    main()
