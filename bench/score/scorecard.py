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
import signal
import subprocess
import sys
import tempfile
import time

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


def parse_texts(text):
    """What tools/check_grammar_texts.sh says last."""
    found = re.search(r"([0-9]+) texts under ([0-9]+) schemas: ([0-9]+) outside", text)
    if not found:
        raise meter.Failed("no texts were judged")
    texts, schemas, outside = (int(number) for number in found.groups())
    return {"kind": "schema_texts", "texts": texts, "schemas": schemas, "outside": outside}


def is_disturbed(record):
    """Whether others than server and clients used much of the machine. Clients count as others: a budget bench alone
    has so few that it can tell."""
    if record.get("kind") != "budget_bench":
        return False
    others = judge.dig(record, "cpu", "others")
    return others is not None and others > MAX_OTHERS


class Runner:
    """Runs rows and keeps each run in the journal as it is made."""

    def __init__(self, options, engines, files, finished):
        """engines: by name, each with command() and cpus(), or None where it cannot be had; asked for when needed."""
        self._options, self._engines, self._files, self._finished = options, engines, files, finished
        self._log = os.path.join(options.folder, "servers.log")
        self._failures = {}  # (row, engine): why

    def measure(self, row):
        """What the row still lacks; engines take turns, round by round."""
        known = (lambda _: None) if self._options.fresh else self._finished.find
        for number in range(1 if self._options.quick else self._options.rounds):
            for name in row.engines:
                if not wants_engine(self._options, name):
                    continue
                if known(run_name(row, name, number)) is not None:
                    say(f"{row.name}: {name}: measured before")
                    continue
                try:
                    self._measure_engine(row, name, number)
                except (meter.Failed, quota.Unavailable, models.Unavailable) as error:
                    self._failures[row.name, name] = str(error)
                    say(f"{row.name}: {name}: {error}")

    def result(self, row):
        """The row with what each engine gave, now and before; None where nothing was tried."""
        result = {"name": row.name, "verb": row.verb, "model": row.model, "quick": self._options.quick, "engines": {}}
        for name in row.engines:
            entry = {"runs": []}
            while (kept := self._finished.find(run_name(row, name, len(entry["runs"])))) is not None:
                run = kept["record"]
                if "model" in run:
                    run["model"] = servers.shown([run["model"]])  # its name, as in the commands
                entry["runs"].append(run)
                entry["disturbed"] = entry.get("disturbed", False) or kept["disturbed"]
                entry["measured_by"] = kept["measured_by"]
            failure = self._failures.get((row.name, name))
            if failure or not entry["runs"]:
                entry["failed"] = failure or "not measured"
            result["engines"][name] = entry
        tried = any(entry["runs"] or (row.name, name) in self._failures for name, entry in result["engines"].items())
        return result if tried else None

    def _measure_engine(self, row, name, number):
        path = self._files.path(row.model)
        engine = self._engines(name)
        if engine is None:
            raise meter.Failed("not built")
        say(f"{row.name}: {name}")
        started = time.monotonic()
        attempts = 1 if self._options.quick else self._options.attempts
        for attempt in range(attempts):
            record, measured_by = self._run(row, engine, path)
            if not is_disturbed(record) or attempt + 1 == attempts:
                break
            say(f"{row.name}: {name}: others were at work, again")
        self._finished.add({"name": run_name(row, name, number), "record": record, "disturbed": is_disturbed(record),
                            "measured_by": measured_by})
        say(f"{row.name}: {name}: {time.monotonic() - started:.0f} s")

    def _run(self, row, engine, path):
        """(what the verb says, how it was measured)"""
        if row.verb == "masks":
            command = [self._options.grammar_bench or "grammar_bench", path]
            return parse_masks(meter.run_child(command).stdout), {"client": servers.shown(command)}
        if row.verb == "texts":
            command = ["tools/check_grammar_texts.sh"]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
            return parse_texts(done.stdout), {"client": command[0]}
        verb = ["bench", row.verb]
        given = [*row.command(self._options.quick), *row.budget_flags]
        if not row.against_server:
            command = [self._options.lull, *verb, path, *given]
            return run_verb([*command, "--json"]), {"client": servers.shown(command)}
        port = servers.free_port()
        # The same promise is judged of all that run under the cap, by themselves or by a quota.
        given += ["--tokenizer", path] if row.tokenizer else []
        command = [self._options.lull, *verb, "--json", "--port", str(port), *given]
        environment = dict(os.environ)
        if row.setting.get("admin"):
            environment["LULL_API_KEY"] = secrets.token_urlsafe(24)
            command += ["--key", environment["LULL_API_KEY"]]
        prepared = engine.prepare(path)
        server = engine.command(path, port, row.setting)
        with servers.running(server, port, self._log, engine.cpus(row.setting), environment) as (process, held_by):
            record = run_verb([*command, "--pid", str(process.pid)], environment)
        return record, {"prepared": prepared, "server": servers.shown(server), "quota": held_by,
                        "client": " ".join(["lull", *verb, *(servers.shown([word]) if word == path else word
                                                             for word in given)])}


def run_name(row, engine, number):
    return f"{row.name} | {engine} | {number}"


def wants_engine(options, name):
    return not options.engines or any(pattern in name for pattern in options.engines)


class Engines:
    """Lull, and llama-server in its fastest build and flags: tried out once, and only where a row needs it."""
    SCOUTED = "llama-server's builds and flags"

    def __init__(self, options, files, finished):
        self._options, self._files, self._finished = options, files, finished
        self._lull = servers.Lull(options.lull)

    def __call__(self, name):
        if name == self._lull.name:
            return self._lull
        threads = score_rows.LLAMA.index(name) + 1
        best = min((each for each in self.tried() if each["threads"] == threads), key=lambda each: each["cpu_s"],
                   default=None)
        if best is None:
            return None
        return servers.LlamaServer(self._programs()[best["build"]], threads, best["flags"])

    def tried(self):
        """CPU-seconds a request of each build and flags: [{"threads", "build", "flags", "cpu_s"}]"""
        known = self._finished.find(self.SCOUTED)
        if known is None and self._programs():
            say("which build and flags of llama-server are the fastest")
            known = {"name": self.SCOUTED, "tried": self._scout()}
            self._finished.add(known)
        return known["tried"] if known else []

    def kept(self):
        """tried(), without trying now."""
        return (self._finished.find(self.SCOUTED) or {}).get("tried", [])

    def _programs(self):
        named = (build.partition("=") for build in self._options.llama)
        programs = {name: os.path.join(folder, "llama-server") for name, _, folder in named}
        return {name: program for name, program in programs.items() if os.path.exists(program)}

    def _scout(self):
        tried = []
        for build, program in self._programs().items():
            sparing = servers.supported(program, servers.SPARING)
            for attention in ("on", "off"):
                tried.append(self._try(build, program, 1, ["-fa", attention, *sparing]))
            # Two threads wait for each other: by spinning, or not.
            attention = min(tried[-2:], key=lambda each: each["cpu_s"])["flags"][1]
            for poll in ("50", "0"):
                tried.append(self._try(build, program, 2, ["-fa", attention, "--poll", poll, *sparing]))
        return [each for each in tried if each["cpu_s"] < float("inf")]

    def _try(self, build, program, threads, flags):
        cost = float("inf")
        with contextlib.suppress(meter.Failed):
            path, port = self._files.path("smollm2"), servers.free_port()
            command = servers.LlamaServer(program, threads, flags).command(path, port, {"cold": True})
            with servers.running(command, port, os.path.join(self._options.folder, "servers.log")) as (process, _):
                record = run_verb([self._options.lull, "bench", "budget", "--json", "--port", str(port), "--pid",
                                   str(process.pid), "--tokenizer", path, *SCOUT])
            cost = judge.dig(record, "cpu", "seconds_per_request") or cost
        return {"threads": threads, "build": build, "flags": flags, "cpu_s": cost}


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
    parser.add_argument("--engines", action="append", default=[], metavar="PATTERN", help="only engines whose name has it")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--attempts", type=int, default=2, help="of a run that others disturbed")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fresh", action="store_true", help="measure these rows again where they were measured before")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--command-line", default="bench/score/scorecard.py", help="as the record is to name it")
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
    record = {"kind": "scorecard", "version": 1, "command": options.command_line,
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
            print(f"{row.name}: lull bench {row.verb}, {row.model}, "
                  + ", ".join(f"{name} {minutes} min" for name, minutes in zip(row.engines, row.minutes)))
        return 0
    os.makedirs(options.folder, exist_ok=True)
    files = models.Models(options.folder, [m.split("=", 1) for m in options.model], options.quantize, options.make_model)
    conditions = {"lull": models.version_of([options.lull, "--version"]), "sha256": models.sha256_of(options.lull),
                  "quick": options.quick}
    finished = journal.Journal(os.path.join(options.folder, "scorecard.journal"), conditions, resume=True)
    engines = Engines(options, files, finished)
    runner = Runner(options, engines, files, finished)
    for row in wanted:
        runner.measure(row)
    # Rows measured earlier under the same conditions belong to the card, whatever was asked for now.
    measured = {row.name: result for row in score_rows.ROWS if (result := runner.result(row)) is not None}
    results = judge.judge_all(measured)
    markdown = drawing.table(results, options.record or "bench/records/scorecard.jsonl")
    print(markdown)
    for result in results:
        if result["reason"]:
            say(f"{result['row']}, {result['title']}: {result['reason']}")
    if options.record and measured:
        append_record(options, measured, results, engines.kept())
    if options.svg:
        machine = next((run["machine"] for row in measured.values() for engine in row["engines"].values()
                        for run in engine["runs"] if "machine" in run), {})
        write(options.svg, drawing.svg(measured, f"{machine.get('cpu_model', '')}, {machine.get('cpus', '?')} CPUs"))
    if options.readme:
        with open(options.readme, encoding="utf-8") as file:
            text = file.read()
        write(options.readme, drawing.replace_table(text, markdown))
    return 0


def leave(number, _):
    """Ended from outside: servers and control groups go with us."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, leave)
    sys.exit(main(sys.argv[1:]))
