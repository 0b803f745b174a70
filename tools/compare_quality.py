#!/usr/bin/env python3
"""Quality of Lull beside llama.cpp and beside the same file computed in F32.

  compare_quality.py --model NAME=PATH --f32 NAME=PATH.f32 --build build/release --oracle build/oracle \\
      [--only text,greedy] [--json] [--record bench/records/quality.jsonl]

text    chunks of --ctx tokens of a text, the second half of each scored (llama-perplexity's method):
        perplexity of all three, mean KL divergence from F32 to Lull and to llama.cpp, and flips.
greedy  64 greedy tokens after each of 50 prompts: where the two part first, and llama.cpp's lead of
        its best token over its second there; then llama.cpp's tokens fed to both, and flips.

A flip is a position at which Lull's likeliest token is not llama.cpp's, with llama.cpp's own top two
more than --flip-gap nats apart. llama.cpp runs with its default settings; the F32 reference is the
widened file (tools/dequantize_gguf.py; written to a temporary folder without --f32) in llama.cpp with
F32 keys and values and no flash attention. Logits pass through pipes, one position at a time.
Exits 1 where a bound is missed. Needs numpy and gguf.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
BOUNDS = {"perplexity_to_llama_cpp": 1.005, "perplexity_to_f32_deviation": 0.01, "kl_ratio": 1.1,
          "text_flip_share": 0.02, "greedy_first_divergence_gap": 0.6, "forced_flip_share": 0.02}
# Three programs run at once: threads of llama.cpp that wait must not burn what the others need.
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "passive"}


class Progress:
    """A line on stderr, at most every two seconds."""

    def __init__(self, what, total):
        self.what, self.total, self.start, self.shown = what, total, time.monotonic(), 0.0

    def at(self, done):
        now = time.monotonic()
        if now - self.shown < 2 and done < self.total:
            return
        self.shown = now
        left = (now - self.start) / max(done, 1) * (self.total - done)
        end = "\n" if done >= self.total else ""
        print(f"\r{self.what}: {done}/{self.total}, {left:.0f} s left   ", end=end, file=sys.stderr, flush=True)


def run(command, stdin=None):
    done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, env=ENVIRONMENT)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed ({done.returncode}): {done.stderr.decode(errors='replace')[-800:]}")
    return done


@contextlib.contextmanager
def rows_of(command, vocab):
    """The f32 rows that a program writes to its standard output, read one at a time."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=log,
                                 env=ENVIRONMENT, bufsize=4 * vocab)

        def next_row():
            data = child.stdout.read(4 * vocab)
            if len(data) == 4 * vocab:
                return np.frombuffer(data, np.float32)
            code = child.wait()
            log.seek(0)
            sys.exit(f"{command[0]} ended early ({code}): {log.read().decode(errors='replace')[-800:]}")

        try:
            yield next_row
            if child.stdout.read(1) or child.wait() != 0:
                sys.exit(f"{command[0]}: more rows than expected, or exit {child.returncode}")
        finally:
            child.kill()
            child.wait()


def log_softmax(logits):
    x = logits.astype(np.float64)
    x -= x.max()
    return x - np.log(np.exp(x).sum())


def kl(reference, other):
    return float(np.dot(np.exp(reference), reference - other))


def top_gap(row):
    """By how many nats the likeliest token leads; logits serve as well as their log-softmax."""
    first, second = np.sort(row[np.argpartition(row, -2)[-2:]].astype(np.float64))[::-1]
    return float(first - second)


class Flips:
    def __init__(self, limit):
        self.limit, self.positions, self.clear, self.flips, self.near, self.widest = limit, 0, 0, 0, 0, 0.0

    def add(self, lull, llama):
        if not (np.isfinite(lull).all() and np.isfinite(llama).all()):
            sys.exit("a logit is not finite")
        gap = top_gap(llama)
        self.positions += 1
        self.clear += gap > self.limit
        if lull.argmax() == llama.argmax():
            return
        self.widest = max(self.widest, gap)
        if gap > self.limit:
            self.flips += 1
        else:
            self.near += 1

    def summary(self):
        return {"positions": self.positions, "positions_above_gap": int(self.clear), "flips_above_gap": self.flips,
                "flips_below_gap": self.near, "flip_share": self.flips / self.positions,
                "flip_share_of_clear": self.flips / max(int(self.clear), 1), "widest_flipped_gap": self.widest}


class Engines:
    """The commands of one model file."""

    def __init__(self, args, path, f32):
        self.args, self.path, self.f32 = args, path, f32
        self.lull = args.build / "lull"
        self.ids_cache = {}

    def dump_lull(self, tokens):
        return [self.args.build / "logits_dump", self.path, tokens, "/dev/stdout", "--lines", "--threads",
                self.args.threads, "--chunk", 32, "--activation-type", self.args.activation_type]

    def dump_llama(self, tokens, exact=False):
        return [self.args.oracle / "logits_oracle", self.f32 if exact else self.path, tokens, "/dev/stdout",
                "--lines", "--exact" if exact else "--defaults", "--threads", self.args.threads]

    def ids(self, data, special):
        """Ids of a text without BOS, by both programs, which must agree."""
        flag = [] if special else ["--no-special"]
        ours = json.loads(run([self.lull, "tokenize", self.path, "--json"] + flag, data).stdout)["tokens"]
        framed = np.uint32(len(data)).tobytes() + data
        theirs = np.frombuffer(run([self.args.oracle / "tokenize_oracle", self.path] + flag, framed).stdout, np.int32)
        if ours != theirs[1:].tolist():
            sys.exit(f"{self.path}: Lull and llama.cpp split a text into different tokens")
        return ours

    def bos(self):
        """[id] where a prompt starts with it, else []: what `lull run --raw` does, asked of the file."""
        from gguf import GGUFReader
        fields = GGUFReader(self.path).fields
        add, bos = (fields.get(f"tokenizer.ggml.{key}") for key in ("add_bos_token", "bos_token_id"))
        model = fields["tokenizer.ggml.model"].contents()
        adds = add.contents() if add else model == "llama"
        return [int(bos.contents())] if adds and bos else []

    def vocab(self):
        from gguf import GGUFReader
        return len(GGUFReader(self.path).fields["tokenizer.ggml.tokens"].data)


def write_lines(path, sequences):
    path.write_text("".join(f"{first} {' '.join(map(str, ids))}\n" for first, ids in sequences))


def text_chunks(engines, args):
    data = args.text.read_bytes()[:args.bytes].removesuffix(b"\n")
    bos = engines.bos()
    ids = bos + engines.ids(data, special=False)
    chunks = [ids[i:i + args.ctx] for i in range(0, len(ids) - args.ctx + 1, args.ctx)]
    return [bos + chunk[len(bos):] for chunk in chunks][:args.chunks or None]


def compare_text(engines, args, folder):
    chunks, vocab = text_chunks(engines, args), engines.vocab()
    first = args.ctx // 2
    tokens = folder / "text.tokens"
    write_lines(tokens, [(first, chunk) for chunk in chunks])
    names = ("lull", "llama_cpp", "f32")
    nll, divergence = dict.fromkeys(names, 0.0), {"lull": [], "llama_cpp": []}
    flips, between = Flips(args.flip_gap), []
    progress = Progress("text", len(chunks) * (args.ctx - first - 1))
    with rows_of(engines.dump_lull(tokens), vocab) as lull, rows_of(engines.dump_llama(tokens), vocab) as llama, \
            rows_of(engines.dump_llama(tokens, exact=True), vocab) as exact:
        for chunk in chunks:
            for i in range(first, args.ctx):
                rows = {name: source() for name, source in zip(names, (lull, llama, exact))}
                if i + 1 == args.ctx:
                    continue  # no next token to predict
                logprobs = {name: log_softmax(row) for name, row in rows.items()}
                for name in names:
                    nll[name] -= logprobs[name][chunk[i + 1]]
                for name in divergence:
                    divergence[name].append(kl(logprobs["f32"], logprobs[name]))
                between.append(kl(logprobs["llama_cpp"], logprobs["lull"]))
                flips.add(logprobs["lull"], logprobs["llama_cpp"])
                progress.at(len(between))
    count = len(between)
    perplexity = {name: float(np.exp(nll[name] / count)) for name in names}
    mean = {name: float(np.mean(values)) for name, values in divergence.items()}
    error = {name: float(np.std(values, ddof=1) / count ** 0.5) for name, values in divergence.items()}
    return {"text": args.text.name, "bytes": args.bytes, "ctx": args.ctx, "chunks": len(chunks), "tokens": count,
            "perplexity": perplexity, "mean_kl_from_f32": mean, "standard_error_of_kl": error,
            "median_kl_from_f32": {name: float(np.median(values)) for name, values in divergence.items()},
            "max_kl_from_f32": {name: float(np.max(values)) for name, values in divergence.items()},
            "mean_kl_from_llama_cpp_to_lull": float(np.mean(between)),
            "perplexity_to_llama_cpp": perplexity["lull"] / perplexity["llama_cpp"],
            "perplexity_to_f32": perplexity["lull"] / perplexity["f32"],
            "kl_ratio": mean["lull"] / mean["llama_cpp"], "flips": flips.summary()}


def read_prompts(path):
    lines = path.read_text().splitlines()[1:]  # the first says what the file is
    return [line.replace("\\n", "\n") for line in lines if line]


def greedy_llama(engines, args, tokens, count):
    """Per prompt a list of (id, lead over the second likeliest)."""
    command = [args.oracle / "greedy_oracle", engines.path, tokens, "--new", args.new, "--threads", args.threads]
    progress, out = Progress("greedy, llama.cpp", count), []
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env=ENVIRONMENT, text=True) as child:
        for line in child.stdout:
            pairs = (field.split(":") for field in line.split())
            out.append([(int(id), float(gap)) for id, gap in pairs])
            progress.at(len(out))
    if child.returncode != 0 or len(out) != count:
        sys.exit(f"greedy_oracle failed ({child.returncode}) after {len(out)} of {count} prompts")
    return out


def greedy_lull(engines, args, prompt):
    out = run([engines.lull, "run", engines.path, "--raw", "--json", "--ignore-eog", "-n", args.new, "-t",
               args.threads, "--activation-type", args.activation_type, "--prompt-file", "/dev/stdin"], prompt.encode()).stdout
    result = json.loads(out)
    return result["tokens"], result["stats"]["prompt_tokens"]


def first_divergence(ours, theirs):
    return next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), None)


def compare_greedy(engines, args, folder):
    bos = engines.bos()
    prompts = read_prompts(args.prompts)[:args.prompt_count]
    inputs = [bos + engines.ids(prompt.encode(), special=True) for prompt in prompts]
    tokens = folder / "greedy.tokens"
    write_lines(tokens, [(0, ids) for ids in inputs])
    theirs = greedy_llama(engines, args, tokens, len(prompts))
    divergences = []
    progress = Progress("greedy, lull", len(prompts))
    for number, (prompt, ids, peer) in enumerate(zip(prompts, inputs, theirs)):
        ours, prompt_tokens = greedy_lull(engines, args, prompt)
        if prompt_tokens != len(ids) or len(ours) != len(peer):
            sys.exit(f"prompt {number}: {prompt_tokens} prompt tokens and {len(ours)} new ones, "
                     f"llama.cpp {len(ids)} and {len(peer)}")
        at = first_divergence(ours, [id for id, _ in peer])
        if at is not None:
            divergences.append({"prompt": number, "position": at, "gap": peer[at][1]})
        progress.at(number + 1)
    forced = forced_flips(engines, args, folder, inputs, [[id for id, _ in peer] for peer in theirs])
    return {"prompts": len(prompts), "new_tokens": args.new, "identical": len(prompts) - len(divergences),
            "divergences": divergences, "widest_gap_at_first_divergence": max((d["gap"] for d in divergences), default=0.0),
            "forced": forced}


def forced_flips(engines, args, folder, inputs, continuations):
    """llama.cpp's tokens to both; every position that predicts one of them is compared."""
    tokens, vocab = folder / "forced.tokens", engines.vocab()
    sequences = [(len(ids) - 1, ids + more[:-1]) for ids, more in zip(inputs, continuations)]
    write_lines(tokens, sequences)
    flips, total = Flips(args.flip_gap), sum(len(more) for more in continuations)
    progress = Progress("teacher-forced", total)
    with rows_of(engines.dump_lull(tokens), vocab) as lull, rows_of(engines.dump_llama(tokens), vocab) as llama:
        for i in range(total):
            flips.add(lull(), llama())
            progress.at(i + 1)
    return flips.summary()


def judge(row):
    """(bound, measured, limit) of all that was measured."""
    checks = []
    if text := row.get("text"):
        checks += [("perplexity_to_llama_cpp", text["perplexity_to_llama_cpp"]),
                   ("perplexity_to_f32_deviation", abs(text["perplexity_to_f32"] - 1)),
                   ("kl_ratio", text["kl_ratio"]), ("text_flip_share", text["flips"]["flip_share"])]
    if greedy := row.get("greedy"):
        checks += [("greedy_first_divergence_gap", greedy["widest_gap_at_first_divergence"]),
                   ("forced_flip_share", greedy["forced"]["flip_share"])]
    return [{"bound": name, "measured": value, "limit": BOUNDS[name],
             # The gap has to stay below its limit; the others may reach it.
             "met": value < BOUNDS[name] if name == "greedy_first_divergence_gap" else value <= BOUNDS[name]}
            for name, value in checks]


def widened(args, name, path, folder):
    given = dict(spec.split("=", 1) for spec in args.f32)
    if name in given:
        return pathlib.Path(given[name])
    target = folder / f"{name}.f32.gguf"
    run([sys.executable, HERE / "dequantize_gguf.py", path, target])
    return target


def compare(args, name, path):
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        folder = pathlib.Path(scratch)
        engines = Engines(args, path, widened(args, name, path, folder) if "text" in args.only else None)
        row = {"model": name}
        if "text" in args.only:
            row["text"] = compare_text(engines, args, folder)
        if "greedy" in args.only:
            row["greedy"] = compare_greedy(engines, args, folder)
        row["bounds"] = judge(row)
        for check in row["bounds"]:
            verdict = "met" if check["met"] else f"MISSED by {check['measured'] - check['limit']:.6g}"
            print(f"{name:14} {check['bound']:28} {check['measured']:.6f}, limit {check['limit']}: {verdict}",
                  file=sys.stderr if args.json else sys.stdout, flush=True)
        return row


def arithmetic_version():
    header = (HERE.parent / "include/lull/version.h").read_text()
    line = next(line for line in header.splitlines() if "kArithmeticVersion" in line and "=" in line)
    return int(line.split("=")[1].strip(" ;"))


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=PATH")
    parser.add_argument("--f32", action="append", default=[], metavar="NAME=PATH", help="the widened file")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="has lull and logits_dump")
    parser.add_argument("--oracle", type=pathlib.Path, required=True, help="the built tools/oracle")
    parser.add_argument("--only", default="text,greedy", type=lambda text: text.split(","))
    parser.add_argument("--text", type=pathlib.Path, default=pathlib.Path("/usr/share/common-licenses/GPL-3"))
    parser.add_argument("--bytes", type=int, default=30000, help="of the text, from its beginning")
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=0, help="stop after so many; 0: all")
    parser.add_argument("--prompts", type=pathlib.Path, default=HERE / "quality_prompts.txt")
    parser.add_argument("--prompt-count", type=int, default=50)
    parser.add_argument("--activation-type", default="q8_0", help="Lull's: q8_0 or q8_k")
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--flip-gap", type=float, default=0.15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--scratch", help="folder for the widened file (default: the system's)")
    parser.add_argument("--llama-note", default="", help="how llama.cpp was built, kept in the record")
    parser.add_argument("--json", action="store_true", help="the whole result on standard output")
    parser.add_argument("--record", type=pathlib.Path, help="append the result as one line")
    return parser.parse_args()


def main():
    args = parse_args()
    rows = [compare(args, *spec.split("=", 1)) for spec in args.model]
    record = {"kind": "quality", "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "arithmetic_version": arithmetic_version(), "activation_type": args.activation_type, "llama.cpp": args.llama_note,
              "reference": "widened to F32, in llama.cpp, F32 keys and values, no flash attention",
              "flip_gap_nats": args.flip_gap, "models": rows}
    if args.json:
        print(json.dumps(record))
    if args.record:
        with args.record.open("a") as file:
            file.write(json.dumps(record) + "\n")
    sys.exit(0 if all(check["met"] for row in rows for check in row["bounds"]) else 1)


if __name__ == "__main__":
    main()
