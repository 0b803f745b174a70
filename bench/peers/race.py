#!/usr/bin/env python3
"""Times Lull beside its peers on the same files, row by row in interleaved rounds, and judges the targets.

bench/peers/run sets everything up and calls this. A round is every engine once, in turning order; one in which
other processes or the host took more than 2 % of the CPUs is discarded and repeated. Engines whose perplexity is
more than 1 % off the best one's are disqualified. Prompts have the same number of tokens for all; which tokens
is the engine's own choice (llama-bench takes none), Lull and OpenVINO use the same ones.
"""
import argparse
import dataclasses
import datetime
import fnmatch
import json
import os
import sys

import engines
import journal
import logits
import meter
import models
import quota
import report

NOISE_LIMIT = 0.02
ATTEMPTS_PER_ROUND = 3
TEXT_SOURCE, TEXT_BYTES = "/usr/share/common-licenses/GPL-3", 30_000
RANDOM_WEIGHTS_NOTE = "random weights have no perplexity: median cosine of logits to llama.cpp's instead"


@dataclasses.dataclass(frozen=True)
class Row:
    model: str
    threads: int = 2  # 0: each engine at its best
    phases: tuple = engines.PHASES
    prompt: int = 512
    new: int = 128
    depth: int = 0
    isa: str | None = None
    kind: str = "speed"  # speed, verify, cpu, start, memory or quota
    goals: tuple = ()
    title: str = ""  # where the name is not to follow from the rest

    @property
    def name(self):
        if self.title:
            return self.title
        words = [self.model, f"{self.threads} thread{'s' if self.threads > 1 else ''}" if self.threads else "best threads"]
        if self.kind != "speed":
            words.append(self.kind)
        elif self.prompt != 512:
            words.append(f"{self.prompt} tokens")
        if self.depth:
            words.append(f"depth {self.depth}")
        if self.isa:
            words.append(self.isa)
        return ", ".join(words)


def goal(figure, bound, against, at="least", either=None):
    return {"figure": figure, "at": at, "bound": bound, "against": against} | ({"either": either} if either else {})


def prefill(bound, against="llama.cpp"):
    return goal("prefill_tok_s", bound, against)


def decode(bound, against="llama.cpp", either=None):
    return goal("decode_tok_s", bound, against, either=either)


def verify(model, threads=2):
    return Row(model, threads, prompt=8, new=32, kind="verify", goals=(goal("batch8_cost", 1.3, "one token", "most"),))


ROWS = (
    Row("smollm2", 2, goals=(prefill(9), prefill(4, "OpenVINO"), prefill(.45, "peak"), decode(2.2),
                             decode(.80, "bandwidth"))),
    Row("smollm2", 1, goals=(decode(1.9), decode(.70, "bandwidth"))),
    Row("gemma3-270m", 2, goals=(prefill(4.5), prefill(.45, "peak"), decode(1.7, either=decode(.88, "bandwidth")))),
    Row("gemma3-270m", 1),
    *(Row(f"smollm2-{kind}", 2, goals=(prefill(2.7), decode(1.4))) for kind in ("q4_0", "q5_0", "q8_0")),
    *(Row(f"1b-shape-{kind}", 2, goals=(prefill(2.2), decode(1.2), decode(.88, "bandwidth")))
      for kind in ("q4_k_m", "q6_k")),
    Row("7b-shape-q4_k_m", 2, goals=(prefill(2.4), prefill(.55, "peak"), decode(1.0), decode(.90, "bandwidth"))),
    Row("7b-shape-q4_k_m", 1, phases=("decode",), goals=(decode(1.25), decode(.90, "bandwidth"))),
    Row("lfm2-8b-a1b-shape", 2, goals=(prefill(3), decode(1.4), decode(.80, "bandwidth"))),
    Row("lfm2-8b-a1b-shape", 1, phases=("decode",), goals=(decode(1.5), decode(.80, "bandwidth"))),
    Row("lfm2-8b-a1b-shape", 2, phases=("prefill",), prompt=64, goals=(prefill(2.2),)),
    Row("smollm2", 2, phases=("decode",), depth=4096, goals=(decode(2.5),)),
    Row("smollm2", 2, isa="avx2", goals=(prefill(2), decode(1.3))),
    Row("gemma3-270m", 2, isa="avx2", goals=(prefill(2), decode(1.3))),
    *(verify(model) for model in ("smollm2", "smollm2-q4_0", "smollm2-q5_0", "smollm2-q8_0", "gemma3-270m",
                                  "1b-shape-q4_k_m", "1b-shape-q6_k", "7b-shape-q4_k_m")),
    Row("smollm2", 0, kind="cpu", goals=(goal("cpu_s_per_1k_prefill", 1 / 6, "llama.cpp", "most"),
                                         goal("cpu_s_per_1k_decode", .53, "llama.cpp", "most"))),
    Row("smollm2", 2, kind="start", goals=(goal("first_token_s", .15, "s", "most"),)),
    Row("7b-shape-q4_k_m", 2, kind="start", goals=(goal("first_token_s", 1.5, "s", "most"),)),
    # Weights x 1.05 + 40 MB; the KV cache of 512 tokens that the target grants besides is not granted here.
    Row("smollm2", 2, kind="memory", goals=(goal("peak_rss_bytes", 1.05 * 98.4e6 + 40e6, "bytes", "most"),)),
    Row("gemma3-270m", 2, kind="memory", goals=(goal("peak_rss_bytes", 1.05 * 253.1e6 + 40e6, "bytes", "most"),)),
    Row("lfm2-8b-a1b-shape", 2, kind="memory", goals=(goal("peak_rss_bytes", 5.2e9, "bytes", "most"),)),
    Row("smollm2", 8, kind="quota", goals=(goal("quota_share_prefill", .9, "unthrottled"),
                                           goal("quota_share_decode", .9, "unthrottled"))),
)
QUOTA_SHARE = 0.35


def quick(row):
    """The same row, short: for checking that everything runs, not for figures."""
    return dataclasses.replace(row, title=row.name, prompt=min(row.prompt, 64), new=min(row.new, 16),
                               depth=min(row.depth, 128))


class Ledger:
    """Perplexities, or for random weights cosines, by file, instruction set and engine or variant; each is
    measured once."""

    def __init__(self, text, reference=None):
        """reference(row, path, text) -> logits.Reference, for files with random weights."""
        self._text, self._find_reference = text, reference
        self._perplexities, self._cosines, self._references = {}, {}, {}

    def judge(self, row, path, has_random_weights):
        """is_correct for Engine.prepare on this file."""
        if not self._text:
            return lambda label, score: True
        compare = self._has_right_logits if has_random_weights else self._has_right_perplexity
        return lambda label, score: compare(row, path, label, score)

    def perplexities(self, path, isa):
        return self._perplexities.get((path, isa), {})

    def cosines(self, path, isa):
        return self._cosines.get((path, isa), {})

    def _has_right_perplexity(self, row, path, label, score):
        known = self._perplexities.setdefault((path, row.isa), {})
        if label not in known:
            try:
                known[label] = score.perplexity(self._text)
            except meter.Failed as error:
                say(f"perplexity of {label}: {error}")
                known[label] = float("nan")
        return not report.is_wrong(known[label], known.values(), engines.PERPLEXITY_TOLERANCE)

    def _has_right_logits(self, row, path, label, score):
        reference = self._reference(row, path)
        if reference is None or score.tops is None:
            return True
        known = self._cosines.setdefault((path, row.isa), {})
        if label not in known:
            try:
                known[label] = logits.median_cosine(reference, score.tops(self._text, reference))
            except meter.Failed as error:
                say(f"logits of {label}: {error}")
                known[label] = 0.0
            say(f"{os.path.basename(path)}: cosine of {label}'s logits to llama.cpp's: {known[label]:.5f}")
        return known[label] >= logits.LEAST_COSINE

    def _reference(self, row, path):
        key = (path, row.isa)
        if self._find_reference is not None and key not in self._references:
            try:
                self._references[key] = self._find_reference(row, path, self._text)
            except meter.Failed as error:
                say(f"no logits to compare with: {error}")
                self._references[key] = None
        return self._references.get(key)


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)


class Race:
    def __init__(self, competitors, files, ledger, rounds, attempts, cpus):
        self._engines, self._files, self._ledger = competitors, files, ledger
        self._rounds, self._attempts, self._cpus = rounds, attempts, cpus

    def run(self, row):
        result = {"name": row.name} | dataclasses.asdict(row) | {"goals": [], "time": now()}
        try:
            path = self._files.path(row.model)
            judge = self._ledger.judge(row, path, self._files.has_random_weights(row.model))
            running, refused = self._prepare(row, path, judge)
            result |= self._measure(row, path, judge, running, refused)
        except (models.Unavailable, quota.Unavailable, meter.Failed) as error:
            result["skipped"] = str(error)
        finally:
            for engine in self._engines:
                engine.finish()
        result["OpenVINO"] = next((e.version for e in self._engines if isinstance(e, engines.OpenVino)), "")
        result["goals"] = [report.judge(result, g) for g in row.goals]
        return result

    def _competitors(self, row):
        found = [e for e in self._engines if not isinstance(e, engines.Lull) or e.name == "Lull" or
                 row.kind in ("speed", "cpu") and engines.has_k_quants(row.model)]
        if row.kind == "quota":
            return found[:1]
        if row.kind in ("verify", "start", "memory"):
            return [e for e in found if not isinstance(e, engines.OpenVino)]
        return found

    def _prepare(self, row, path, judge):
        running, refused = [], {}
        for engine in self._competitors(row):
            try:
                for part in self._parts(row):
                    engine.prepare(part, path, judge)
                running.append(engine)
            except meter.Failed as error:
                refused[engine.name] = str(error)
        return running, refused

    def _parts(self, row):
        """A row at each engine's best thread count is measured at all of them."""
        if row.threads:
            return [row]
        return [dataclasses.replace(row, threads=n) for n in range(1, self._cpus + 1)]

    def _measure(self, row, path, judge, running, refused):
        if row.kind == "start":
            for engine in running:
                if isinstance(engine, engines.Lull) and engine.pack(path):
                    say(f"{row.name}: packed")
        turn = [0]

        def run_round():
            order = running[turn[0] % len(running):] + running[:turn[0] % len(running)] if running else []
            turn[0] += 1
            machine = meter.MachineMeter(lambda: sum(e.alive_cpu_s() for e in running))
            samples = {}
            for engine in order:
                if engine.name in refused:
                    continue
                try:
                    samples[engine.name] = self._sample(row, path, judge, engine)
                except meter.Failed as error:
                    refused[engine.name] = str(error)
            shares = machine.shares()
            say(f"{row.name}: round {turn[0]}, foreign CPU {100 * shares['foreign_share']:.1f} %, "
                f"steal {100 * shares['steal_share']:.1f} %")
            return {"samples": samples} | shares

        kept, discarded, is_quiet = meter.collect_rounds(run_round, self._rounds, NOISE_LIMIT, self._attempts)
        return self._summarize(row, path, running, refused, kept) | {
            "rounds": len(kept), "quiet": is_quiet,
            "noisy_rounds": sum(not meter.is_quiet(r, NOISE_LIMIT) for r in kept),
            "shares_of_rounds": [{k: r[k] for k in ("foreign_share", "steal_share")} for r in kept],
            "discarded": discarded}

    def _summarize(self, row, path, running, refused, kept):
        perplexities, cosines = self._ledger.perplexities(path, row.isa), self._ledger.cosines(path, row.isa)
        summary = {}
        for engine in running:
            name = engine.name
            samples = [r["samples"][name] for r in kept if name in r["samples"]]
            entry = {"median": report.medians(samples), "samples": samples} | engine.notes()
            labels = entry.get("finalists")
            labels = [label for found in labels.values() for label in found] if labels else [name]
            known = [perplexities[label] for label in labels if label in perplexities]
            if known:
                entry["perplexity"] = max(known)
                entry["wrong"] = report.is_wrong(max(known), perplexities.values(), engines.PERPLEXITY_TOLERANCE)
            alike = [cosines[label] for label in labels if label in cosines]
            if alike:
                entry["logit_cosine"] = min(alike)
                entry["wrong"] = min(alike) < logits.LEAST_COSINE
            summary[name] = entry
        for name, reason in refused.items():
            summary.setdefault(name, {})["unsupported"] = reason
        result = {"engines": summary, "perplexities": dict(perplexities)}
        if self._files.has_random_weights(row.model):
            result |= {"correctness": RANDOM_WEIGHTS_NOTE, "cosines": dict(cosines)}
        return result

    def _sample(self, row, path, judge, engine):
        if row.kind == "cpu":
            return self._least_cpu(row, path, judge, engine)
        if row.kind == "start":
            return {"first_token_s": meter.run_for_peak(engine.start_command(row, path, 1)).wall_s}
        if row.kind == "memory":
            return {"peak_rss_bytes": meter.run_for_peak(engine.start_command(row, path, 32)).peak_rss_bytes}
        if row.kind == "quota":
            return self._throttled(row, path, engine)
        sample = engine.measure(row, path)
        if row.kind == "verify":
            sample["batch8_cost"] = row.prompt / sample["prefill_tok_s"] * sample["decode_tok_s"]
        return sample

    def _least_cpu(self, row, path, judge, engine):
        best = {}
        for part in self._parts(row):
            engine.prepare(part, path, judge)
            for phase in row.phases:
                cpu = engine.cpu_per_1k(part, path, phase)
                key = engines.cpu_key(phase)
                if cpu < best.get(key, float("inf")):
                    best |= {key: cpu, f"threads_{phase}": part.threads}
        return best

    def _throttled(self, row, path, engine):
        free = engine.throttled(dataclasses.replace(row, threads=self._cpus), path, None)
        with quota.Group(QUOTA_SHARE * self._cpus) as group:
            held = engine.throttled(row, path, group.enter)
        return {f"quota_share_{p}": free[engines.cpu_key(p)] / held[engines.cpu_key(p)] for p in engines.PHASES}


def pairs(specs):
    return dict(spec.split("=", 1) for spec in specs)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", action="append", metavar="PATTERN", help="only the row of this name, or those whose "
                        "name has this or matches it as a shell pattern; may be given again")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one short round of each row: does it run?")
    parser.add_argument("--resume", action="store_true", help="take up what a run of the same programs that was cut off "
                        "has finished")
    parser.add_argument("--list", action="store_true", help="print the rows and their targets")
    parser.add_argument("--record", help="append one JSON line with every sample to this file")
    parser.add_argument("--svg", help="draw the medians into this file")
    parser.add_argument("--ik", metavar="DIR", help="a built ik_llama.cpp: the folder of its programs")
    setup = parser.add_argument_group("given by bench/peers/run")
    setup.add_argument("--lull", default="build/release/lull")
    setup.add_argument("--make-model", default="build/release/make_model")
    setup.add_argument("--model", action="append", default=[], metavar="NAME=PATH", help="smollm2, gemma3-270m")
    setup.add_argument("--llama", action="append", default=[], metavar="BUILD=FOLDER", help="native, openmp, avx2")
    setup.add_argument("--openvino", metavar="PYTHON", help="a Python that has openvino_genai")
    setup.add_argument("--folder", default="build/peers", help="where made models are kept")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    return args


def selected(patterns, rows=ROWS):
    if not patterns:
        return list(rows)
    names = {r.name for r in rows}

    def fits(name, pattern):
        if pattern in names:  # a row's whole name means that row, not those that begin with it
            return name == pattern
        return pattern in name or fnmatch.fnmatchcase(name, pattern)

    return [r for r in rows if any(fits(r.name, p) for p in patterns)]


def competitors_of(args):
    builds = pairs(args.llama)
    avx2 = {name: folder for name, folder in builds.items() if name == "avx2"}
    result = [engines.Lull(args.lull), engines.Lull(args.lull, "q8_k")]
    if builds:
        result.append(engines.LlamaCpp({n: f for n, f in builds.items() if n != "avx2"}, avx2))
    if args.openvino:
        result.append(engines.OpenVino(args.openvino))
    if args.ik:
        folders = [f for f in (args.ik, os.path.join(args.ik, "bin"), os.path.join(args.ik, "build/bin"))
                   if os.path.exists(os.path.join(f, "llama-bench"))]
        if not folders:
            sys.exit(f"peers: no llama-bench in {args.ik}, its bin or its build/bin")
        result.append(engines.IkLlamaCpp({"ik": folders[0]}))
    return result


def text_of(folder):
    """The text perplexity is measured on, cut to size; none where the system does not have it."""
    if not os.path.exists(TEXT_SOURCE):
        say(f"{TEXT_SOURCE} is missing: perplexity is not checked")
        return None
    path = os.path.join(folder, "text.txt")
    with open(TEXT_SOURCE, "rb") as source, open(path, "wb") as file:
        file.write(source.read(TEXT_BYTES))
    return path


def describe_machine(cpus):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown CPU")
    return {"description": f"{name}, {cpus} CPUs", "kernel": os.uname().release, "load_before": os.getloadavg()[0]}


def list_rows(rows):
    for row in rows:
        print(row.name)
        for g in row.goals:
            either = " or " + report.goal_text(g["either"]) if "either" in g else ""
            print(f"    {g['figure']:22} {report.goal_text(g)}{either}")


def measure(race, row, finished):
    """The row's result, from the journal where it is there; shown as soon as it is known."""
    result = finished.find(row.name)
    if result is None:
        result = race.run(row)
        finished.add(result)
    print("\n".join(report.row_lines(result)), file=sys.stderr, flush=True)
    return result


def main():
    args = parse_arguments()
    rows = selected(args.rows)
    if not rows:
        sys.exit(f"peers: no row matches {', '.join(args.rows)}; --list prints them")
    if args.list:
        list_rows(rows)
        return
    if args.quick:
        rows, args.rounds = [quick(row) for row in rows], 1
    os.makedirs(args.folder, exist_ok=True)
    cpus = len(os.sched_getaffinity(0))
    builds = pairs(args.llama)
    files = models.Models(os.path.join(args.folder, "models"), pairs(args.model),
                          os.path.join(builds["native"], "llama-quantize") if "native" in builds else None, args.make_model)
    competitors = competitors_of(args)
    llama = next((e for e in competitors if type(e) is engines.LlamaCpp), None)
    ledger = Ledger(text_of(args.folder), llama.reference if llama else None)
    race = Race(competitors, files, ledger, args.rounds, 1 if args.quick else ATTEMPTS_PER_ROUND * args.rounds, cpus)
    record = {"kind": "peers", "version": 2, "quick": args.quick, "machine": describe_machine(cpus),
              "time": now(),
              "noise_limit": NOISE_LIMIT, "lull": models.version_of([args.lull, "--version"]),
              "lull_sha256": models.sha256_of(args.lull), "commit": models.version_of(["git", "describe", "--always", "--dirty"]),
              "llama.cpp": {n: models.version_of([os.path.join(f, "llama-bench"), "--version"]) for n, f in builds.items()},
              "rows": []}
    conditions = {key: record[key] for key in ("version", "quick", "lull", "lull_sha256", "llama.cpp")} | {"rounds": args.rounds}
    finished = journal.Journal(os.path.join(args.folder, "rows.jsonl"), conditions, args.resume)
    try:
        for row in rows:
            record["rows"].append(measure(race, row, finished))
    except KeyboardInterrupt:
        sys.exit("peers: interrupted; nothing is recorded, --resume goes on after the last finished row")
    record["OpenVINO"] = next((row["OpenVINO"] for row in record["rows"] if row.get("OpenVINO")), "")
    ratios = report.speed_ratios(record["rows"])
    record["geometric_mean"] = report.geometric_mean([r[2] for r in ratios])
    record["geometric_mean_q8_k"] = report.geometric_mean(
        [r[2] for r in report.speed_ratios(record["rows"], report.option_where_it_applies)])
    print(report.table(record))
    if args.record:
        os.makedirs(os.path.dirname(args.record) or ".", exist_ok=True)
        with open(args.record, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    if args.svg:
        with open(args.svg, "w", encoding="utf-8") as file:
            file.write(report.svg(record))
    if any(row.get("engines", {}).get("Lull", {}).get("unsupported") for row in record["rows"]):
        sys.exit("peers: Lull failed in a row, see above")


if __name__ == "__main__":
    main()
