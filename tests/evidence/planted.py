#!/usr/bin/env python3
"""Does the evidence find what is wrong? `lull bench budget` from end to end, each time against a real server:

    a sound build                           pass: a measurement that always objects proves nothing either
    a build that exceeds its budget by 2 %  fail
    a sound build, samples dropped          unproven: the sampling process is stopped now and then
    a record removed from the file          lull verify fails and names it

    planted.py LULL LULL_PLANTED [MODEL.gguf] [--seconds N]    (default: smollm2.gguf in LULL_TEST_MODELS)

Exits 0 where all is found, 1 where not, 77 (skipped) where the model is missing or the machine is too busy to judge.
"""
import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

PASS, FAIL, UNPROVEN, SKIPPED = 0, 1, 75, 77
NAMES = {PASS: "pass", FAIL: "fail", UNPROVEN: "unproven"}
# A share at which 2 % of it are well beyond the half point that a mean may differ by.
BUDGET = ("--cpu", "60%", "--cpu-p99", "75%")
ATTEMPTS = 3
LEAST_USED = 0.985  # of the allowed CPU, and work was always waiting


class Disturbed(Exception):
    """The server did not get the CPU that it was allowed: nothing can be concluded."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(lull, model):
    port = free_port()
    # Courtesy would have it give way to whatever else runs here.
    command = [lull, "serve", model, "--port", str(port), *BUDGET, "--courtesy", "off"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                        break
                if server.poll() is not None:
                    raise RuntimeError(f"{lull} serve ended with {server.returncode}")
                time.sleep(0.1)
            yield port
        finally:
            server.terminate()
            server.wait()


def children_of(pid):
    children = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                children += [int(child) for child in file.read().split()]
    return children


def drop_samples(bench, for_s=0.3, every_s=3.0):
    """Stops the process that samples the CPU, the bench's first child, for a tenth of the time."""
    while bench.poll() is None:
        time.sleep(every_s - for_s)
        sampler = min(children_of(bench.pid), default=None)
        if sampler is None:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(sampler, signal.SIGSTOP)
            time.sleep(for_s)
            os.kill(sampler, signal.SIGCONT)


def measure(options, server, record, dropping):
    """(exit code, the record that was written) of one bench."""
    with serving(server, options.model) as port:
        command = [options.lull, "bench", "budget", "--port", str(port), *BUDGET, "--concurrency", "4", "--seconds",
                   str(options.seconds), "--requests", "40", "--idle-seconds", "3", "--cpu-idle", "2%", "--tokenizer",
                   options.model, "--record", record, "--json"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as bench:
            if dropping:
                threading.Thread(target=drop_samples, args=(bench,), daemon=True).start()
            output = bench.communicate()[0]
    if bench.returncode not in NAMES:
        raise RuntimeError(f"lull bench budget ended with {bench.returncode}")
    return bench.returncode, json.loads(output)


def line_of(report, name):
    return next(line for line in report["verdicts"] if line["name"] == name)


def expect(options, what, server, record, wanted, line, dropping=False):
    """Whether the bench gives this verdict, on this line; judged only of servers that got the CPU they were allowed."""
    for _ in range(ATTEMPTS):
        code, report = measure(options, server, record, dropping)
        mean, used = report["cpu"]["mean"], report["cpu"]["used"]
        found = line_of(report, line)
        print(f"{what}: {NAMES[code]}; mean {100 * mean:.2f} %, {100 * used:.1f} % of what is allowed; "
              f"{line}: {found['verdict']} {found.get('reason', '')}", flush=True)
        # What a server that was kept from its CPU spends shows nothing of its governor.
        if dropping or used >= LEAST_USED:
            return code == wanted and found["verdict"] == NAMES[wanted]
    raise Disturbed(what)


def check_removed_record(options, record):
    """lull verify passes the file as it is, and fails it without any one of its records."""
    if subprocess.run([options.lull, "verify", record], stdout=subprocess.DEVNULL, check=False).returncode != 0:
        print("verify: fails a file as it was written")
        return False
    with open(record, encoding="utf-8") as file:
        lines = file.readlines()
    for removed in range(len(lines)):
        with open(record, "w", encoding="utf-8") as file:
            file.writelines(lines[:removed] + lines[removed + 1:])
        done = subprocess.run([options.lull, "verify", record], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        print(f"verify, record {removed + 1} of {len(lines)} removed: exit {done.returncode}")
        if done.returncode != 1:
            print(done.stdout)
            return False
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lull")
    parser.add_argument("planted")
    parser.add_argument("model", nargs="?",
                        default=os.path.join(os.environ.get("LULL_TEST_MODELS", ""), "smollm2.gguf"))
    parser.add_argument("--seconds", type=int, default=40, help="of each load")
    options = parser.parse_args()
    if not os.path.exists(options.model):
        print(f"no model at {options.model}: lull pull smollm2")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LULL_HOME"] = folder  # the signing key
        record = os.path.join(folder, "runs.jsonl")
        try:
            right = [expect(options, "a sound build", options.lull, record, PASS, "cpu_mean"),
                     expect(options, "2 % above its budget", options.planted, record, FAIL, "cpu_mean"),
                     expect(options, "samples dropped", options.lull, record, UNPROVEN, "cpu_mean", dropping=True)]
        except Disturbed as what:
            print(f"{what}: others kept the server from its CPU, {ATTEMPTS} times")
            return SKIPPED
        right.append(check_removed_record(options, record))
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
