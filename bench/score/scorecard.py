#!/usr/bin/env python3
"""Measures the rows, one server at a time, judges the targets and writes record, drawing and table.

bench/scorecard sets everything up and calls this. Rows already measured under the same conditions are taken up
again, so that a run that was cut off goes on where it stopped.
"""
import argparse
import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import servers  # pylint: disable=wrong-import-position  (finds bench/peers)

import journal  # pylint: disable=wrong-import-position
import meter  # pylint: disable=wrong-import-position
import models  # pylint: disable=wrong-import-position
import quota  # pylint: disable=wrong-import-position

import drawing  # pylint: disable=wrong-import-position
import judge  # pylint: disable=wrong-import-position
import rows as score_rows  # pylint: disable=wrong-import-position

VERDICT_CODES = (0, 1, 75)  # of `lull bench`: pass, fail, unproven
MAX_OTHERS = 0.05           # of the machine, beside server and clients
SCOUT = ("--seconds", "5", "--requests", "20", "--idle-seconds", "0", "--distinct", "100", "--concurrency", "1")


def say(text):
    print(f"scorecard: {text}", file=sys.stderr, flush=True)


def run_verb(command, environment=None):
    """The JSON that a verb of lull prints, whatever its verdict."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              check=False, env=environment, timeout=4 * 3600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise meter.Failed(f"{command[0]}: {error}") from None
    if done.returncode not in VERDICT_CODES:
        raise meter.Failed(f"{' '.join(command[1:3])} {meter.describe_exit(done.returncode)}: {meter.last_line(done.stderr)}")
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise meter.Failed(f"{' '.join(command[1:3])} printed no JSON") from None


def parse_masks(text):
    """What bench/grammar prints: for each schema the mean time of a mask, the first time through."""
    means = {line.split()[0]: float(found.group(1)) for line in text.splitlines()
             if (found := re.search(r"\| first mean +([0-9.]+) p50", line))}
    if not means:
        raise meter.Failed("grammar_bench printed no times")
    return {"kind": "masks_bench", "mean_us": means, "slowest_mean_us": max(means.values())}


def is_disturbed(record):
    """Whether others than server and clients used much of the machine. Clients count as others: a budget bench alone
    has so few that it can tell."""
    if record.get("kind") != "budget_bench":
        return False
    others = judge.dig(record, "cpu", "others")
    return others is not None and others > MAX_OTHERS


class Runner:
    def __init__(self, options, engines, files):
        self._options, self._engines, self._files = options, engines, files
        self._log = os.path.join(options.folder, "servers.log")

    def measure(self, row):
        """The row with what each engine gave; engines take turns, round by round."""
        result = {"name": row.name, "verb": row.verb, "model": row.model, "quick": self._options.quick, "engines": {}}
        try:
            path = self._files.path(row.model)
        except models.Unavailable as error:
            return result | {"engines": {name: {"runs": [], "failed": str(error)} for name in row.engines}}
        for _ in range(1 if self._options.quick else self._options.rounds):
            for name in row.engines:
                entry = result["engines"].setdefault(name, {"runs": []})
                self._measure_engine(row, name, path, entry)
        return result

    def _measure_engine(self, row, name, path, entry):
        if name not in self._engines:
            entry["failed"] = "not built"
            return
        say(f"{row.name}: {name}")
        attempts = 1 if self._options.quick else self._options.attempts
        for attempt in range(attempts):
            try:
                record = self._run(row, self._engines[name], path)
            except (meter.Failed, quota.Unavailable) as error:
                entry["failed"] = str(error)
                say(f"{row.name}: {name}: {error}")
                return
            if not is_disturbed(record) or attempt + 1 == attempts:
                break
            say(f"{row.name}: {name}: others were at work, again")
        entry["disturbed"] = entry.get("disturbed", False) or is_disturbed(record)
        entry["runs"].append(record)

    def _run(self, row, engine, path):
        if row.verb == "masks":
            return parse_masks(meter.run_child([self._options.grammar_bench or "grammar_bench", path]).stdout)
        if not row.against_server:
            return run_verb([self._options.lull, "bench", row.verb, path, "--json", *row.command(self._options.quick)])
        port = servers.free_port()
        command = [self._options.lull, "bench", row.verb, "--json", "--port", str(port), *row.command(self._options.quick)]
        # The same promise is judged of all that run under the cap, by themselves or by a quota.
        command += [*row.budget_flags, *(["--tokenizer", path] if row.tokenizer else [])]
        environment = dict(os.environ)
        if row.setting.get("admin"):
            environment["LULL_API_KEY"] = secrets.token_urlsafe(24)
            command += ["--key", environment["LULL_API_KEY"]]
        with servers.running(engine.command(path, port, row.setting), port, self._log, engine.cpus(row.setting),
                             environment) as process:
            return run_verb([*command, "--pid", str(process.pid)], environment)


def fastest_llama(options, path):
    """(program, flags, what was tried): the build and the flash attention setting of the fewest CPU-seconds a request."""
    tried = []
    for build in options.llama:
        _, _, folder = build.partition("=")
        program = os.path.join(folder, "llama-server")
        if not os.path.exists(program):
            continue
        for attention in ("on", "off"):
            flags = ["-fa", attention, *servers.optional_flags(program)]
            engine, port = servers.LlamaServer(program, 1, flags), servers.free_port()
            log = os.path.join(options.folder, "servers.log")
            with contextlib.suppress(meter.Failed):
                with servers.running(engine.command(path, port, {}), port, log) as process:
                    record = run_verb([options.lull, "bench", "budget", "--json", "--port", str(port), "--pid",
                                       str(process.pid), "--tokenizer", path, *SCOUT])
                cost = judge.dig(record, "cpu", "seconds_per_request")
                if cost:
                    tried.append({"cpu_s": cost, "program": program, "flags": flags})
    if not tried:
        return None, [], tried
    best = min(tried, key=lambda each: each["cpu_s"])
    return best["program"], best["flags"], tried


def make_engines(options, files):
    engines = {"Lull": servers.Lull(options.lull)}
    program, flags, tried = (None, [], [])
    if options.llama:
        say("which build and flags of llama-server are the fastest")
        program, flags, tried = fastest_llama(options, files.path("smollm2"))
    if program:
        for threads in (1, 2):
            engine = servers.LlamaServer(program, threads, flags)
            engines[engine.name] = engine
    return engines, tried


def chosen(pattern_list):
    if not pattern_list:
        return list(score_rows.ROWS)
    exact = {row.name for row in score_rows.ROWS}
    return [row for row in score_rows.ROWS
            if any(pattern == row.name or (pattern not in exact and pattern in row.name) for pattern in pattern_list)]


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lull", default="build/release/lull")
    parser.add_argument("--make-model", default=None)
    parser.add_argument("--quantize", default=None)
    parser.add_argument("--grammar-bench", default=None)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--llama", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--folder", default="build/peers")
    parser.add_argument("--rows", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--attempts", type=int, default=2, help="of a run that others disturbed")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fresh", action="store_true", help="measure rows again that were measured before")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--record", default=None)
    parser.add_argument("--svg", default=None)
    parser.add_argument("--readme", default=None)
    return parser.parse_args(arguments)


def write(path, text):
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=os.path.dirname(os.path.abspath(path)), delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def append_record(options, measured, results, tried):
    record = {"kind": "scorecard", "version": 1, "command": " ".join(["bench/scorecard", *sys.argv[1:]]),
              "quick": options.quick, "llama_server_scouting": tried, "rows": list(measured.values()), "targets": results,
              "overall": "pass" if all(r["verdict"] == "met" for r in results) else
                         "fail" if any(r["verdict"] == "missed" for r in results) else "unproven"}
    done = subprocess.run([options.lull, "record", options.record], input=json.dumps(record), text=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise meter.Failed(f"lull record: {meter.last_line(done.stderr)}")


def main(arguments):
    options = parse(arguments)
    wanted = chosen(options.rows)
    if options.list:
        for row in wanted:
            print(f"{row.name}: lull bench {row.verb}, {row.model}, {', '.join(row.engines)}; "
                  f"about {row.minutes * len(row.engines):.0f} min a round")
        return 0
    os.makedirs(options.folder, exist_ok=True)
    files = models.Models(options.folder, [m.split("=", 1) for m in options.model], options.quantize, options.make_model)
    engines, tried = make_engines(options, files)
    conditions = {"lull": models.version_of([options.lull, "--version"]), "sha256": models.sha256_of(options.lull),
                  "quick": options.quick, "rounds": options.rounds}
    finished = journal.Journal(os.path.join(options.folder, "scorecard.journal"), conditions, resume=not options.fresh)
    runner, measured = Runner(options, engines, files), {}
    for row in wanted:
        known = finished.find(row.name)
        if known is None:
            known = runner.measure(row)
            finished.add(known)
        else:
            say(f"{row.name}: measured before")
        measured[row.name] = known
    results = judge.judge_all(measured)
    markdown = drawing.table(results, options.record or "bench/records/scorecard.jsonl")
    print(markdown)
    for result in results:
        if result["reason"] and result["row"] in measured:
            say(f"{result['row']}, {result['title']}: {result['reason']}")
    if options.record:
        append_record(options, measured, results, tried)
    if options.svg:
        machine = next((run["machine"] for row in measured.values() for engine in row["engines"].values()
                        for run in engine["runs"] if "machine" in run), {})
        write(options.svg, drawing.svg(measured, f"{machine.get('cpu_model', '')}, {machine.get('cpus', '?')} CPUs"))
    if options.readme:
        with open(options.readme, encoding="utf-8") as file:
            text = file.read()
        write(options.readme, drawing.replace_table(text, markdown))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
