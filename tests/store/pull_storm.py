#!/usr/bin/env python3
"""Random faults, all at once: several `lull pull`, `rm`, `cp`, `list` on one store, a hub that misbehaves
at random, kill -9 at random moments. After each run the store is judged from outside.

    pull_storm.py LULL [--runs 1000] [--seed 1] [--workers 4]

The last line says runs, processes, kills, faults and findings; exits 1 where there are findings. A finding is a
crash, a process that does not end, a file whose bytes are not those of its name, a name whose file is
missing, a finished file that has gone though nobody removed it, anything left over after pulls without
faults, or such a pull that fails.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fake_hub  # noqa: E402
import verify_store  # noqa: E402

RUNS_OF_A_STORE = 25
ENDS_S = 60  # what has not ended by then hangs
FLAGS = ["--stall-timeout", "0.15", "--backoff-ms", "2", "--attempts", "3", "--connect-ms", "2000"]
SOUND_EXITS = {0, 2, 3, 4, -9}
COPIES = [f"copy{i}" for i in range(4)]


class Storm:
    """One store and one hub, for some runs."""

    def __init__(self, lull, rng):
        self.lull, self.rng, self.findings = lull, rng, []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lull_storm_"))
        self.models = self.folder / "models"
        self.hub = fake_hub.FakeHub(stall_s=0.5, page=4)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
        self.env.update(LULL_HOME=str(self.folder), HOME=str(self.folder), HF_ENDPOINT=self.hub.endpoint)
        self.names, self.changed, self.known = [], set(), set()
        self.processes = self.kills = self.faults = 0
        shared = rng.randbytes(rng.choice([900, 70_000, 1_500_000]))
        for i in range(4):
            self.hub.add(f"o/m{i}", "m-Q8_0.gguf", shared if i < 2 else rng.randbytes(rng.choice([1, 5000, 400_000, 2_000_000])))
            self.names.append(f"hf:o/m{i}:Q8_0")
        for i in range(3):
            self.hub.add("o/split", f"s-Q4_0-0000{i + 1}-of-00003.gguf", rng.randbytes(rng.choice([3000, 300_000])))
        self.names.append("hf:o/split:Q4_0")
        for name, bytes_, lfs in (("config.json", 200, False), ("tokenizer.json", 90_000, False),
                                  ("model.safetensors", 500_000, True)):
            self.hub.add("o/tensors", name, rng.randbytes(bytes_), lfs)
        self.names.append("hf:o/tensors")

    def close(self):
        self.hub.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def find(self, what):
        self.findings.append(what)

    # The hub's threads share this one.
    def set_faults(self, rate, seed):
        rng, lock = random.Random(seed), threading.Lock()

        def choose(where, _path, _count):
            with lock:
                if rng.random() >= rate:
                    return None
                self.faults += 1
                return rng.choice(fake_hub.FILE_FAULTS if where == "cdn" else fake_hub.HUB_FAULTS)
        self.hub.faults = choose if rate else None

    def start(self, *arguments):
        self.processes += 1
        return arguments, subprocess.Popen([self.lull, *arguments], env=self.env, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.PIPE, text=True)

    def manifests(self):
        folder, found = self.models / "manifests", {}
        for name in verify_store.names(folder):
            if name.endswith(".json"):
                try:
                    manifest = verify_store.read_manifest(folder / name)
                    found[manifest["name"]] = [f["key"] for f in manifest["files"]]
                except (OSError, ValueError, KeyError, TypeError):
                    pass  # the verifier says so
        return found

    def held_by_dead_pulls(self):
        """(name, blob that is there) for each that a pull had finished when it was killed"""
        folder, found = self.models / "pulls", set()
        for file in verify_store.names(folder):
            if not file.endswith(".json"):
                continue
            manifest = json.loads((folder / file).read_text())
            found |= {(manifest["name"], f["key"]) for f in manifest["files"]
                      if (self.models / "blobs" / f["key"]).exists()}
        return found

    def random_command(self):
        rng, kind = self.rng, self.rng.random()
        if kind < 0.62:
            names = rng.sample(self.names, rng.randint(1, 3))
            return ["pull", *names, "--jobs", str(rng.randint(1, 3)), *FLAGS]
        if kind < 0.74:
            return ["rm", rng.choice(self.names + COPIES)]
        if kind < 0.88:
            return ["cp", rng.choice(self.names), rng.choice(COPIES)]
        return ["list", "--json"] if kind < 0.95 else ["rm", rng.choice(COPIES)]

    def finish(self, arguments, process, kill_after_s):
        """Its exit status, or None where it was killed."""
        try:
            if kill_after_s is not None:
                try:
                    process.communicate(timeout=kill_after_s)
                except subprocess.TimeoutExpired:
                    process.kill()
                    self.kills += 1
            _, err = process.communicate(timeout=ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return self.find(f"never ended: {arguments}")
        if process.returncode not in SOUND_EXITS:
            self.find(f"exit {process.returncode} of {arguments}: {err[-300:]}")
        return process.returncode

    def new_version(self):
        rng, kind = self.rng, self.rng.randint(0, 5)
        if kind < 4:
            self.hub.add(f"o/m{kind}", "m-Q8_0.gguf", rng.randbytes(rng.choice([1, 5000, 400_000, 2_000_000])))
            self.changed.add(f"hf:o/m{kind}:Q8_0")
        elif kind == 4:
            self.hub.add("o/split", "s-Q4_0-00002-of-00003.gguf", rng.randbytes(100_000))
            self.changed.add("hf:o/split:Q4_0")
        else:
            self.hub.add("o/tensors", "config.json", rng.randbytes(300), False)
            self.changed.add("hf:o/tensors")

    def run(self):
        rng = self.rng
        self.changed.clear()
        if rng.random() < 0.7:
            self.new_version()
        for name in rng.sample(self.names, rng.choice([0, 0, 1, 2, 4])):  # else all is there soon
            self.start("rm", name)[1].communicate()
        before, held = self.manifests(), self.held_by_dead_pulls()
        self.set_faults(rng.choice([0.0, 0.1, 0.3, 0.6]), rng.random())
        commands = [self.random_command() for _ in range(rng.randint(1, 4))]
        kills = [rng.uniform(0, 0.25) ** 1.5 if rng.random() < 0.5 else None for _ in commands]
        running = []
        for command in commands:
            running.append(self.start(*command))
            time.sleep(rng.choice([0, 0, 0.01, 0.05]))
        order = sorted(range(len(commands)), key=lambda i: 9 if kills[i] is None else kills[i])
        codes = {i: self.finish(*running[i], kills[i]) for i in order}
        self.judge(commands, codes, before, held)
        self.recover()

    def judge(self, commands, codes, before, held):
        removed = {c[1] for c in commands if c[0] == "rm"}
        pulled = {n for i, c in enumerate(commands) if c[0] == "pull" and codes[i] == 0
                  for n in c[1:] if n in self.names}
        now = self.manifests()
        for name in (set(before) | pulled) - removed:
            if name not in now:
                self.find(f"{name} is gone, and nobody removed it: {commands}")
        # What a killed pull had finished is there until its name is removed or means other files.
        for name, key in held:
            blob = self.models / "blobs" / key
            if name not in removed and name not in self.changed and name not in now and not blob.exists():
                self.find(f"{key} of {name} was finished and is gone: {commands}")
        for problem in verify_store.problems(self.models, self.known):
            self.find(f"{problem}: {commands}")

    def recover(self):
        self.set_faults(0, 0)
        everything = self.rng.random() < 0.5
        names = self.names if everything else [self.rng.choice(self.names)]
        arguments, process = self.start("pull", *names, *FLAGS[:4])
        _, err = process.communicate(timeout=ENDS_S)
        if process.returncode != 0:
            self.find(f"without faults: exit {process.returncode} of {names}: {err[-400:]}")
        now = self.manifests()
        for name in names:
            if name not in now:
                self.find(f"pulled without faults and not there: {name}")
        for problem in verify_store.problems(self.models, self.known):
            self.find(f"after a pull without faults: {problem}")
        if everything:
            self.check_leftovers(now)

    def check_leftovers(self, manifests):
        wanted = {key for keys in manifests.values() for key in keys}
        blobs = set(verify_store.names(self.models / "blobs"))
        if blobs != wanted:
            self.find(f"blobs left over: {sorted(blobs - wanted)}")
        for folder in ("pulls", "manifests"):
            left = [n for n in verify_store.names(self.models / folder)
                    if folder == "pulls" or not n.endswith(".json")]
            if left:
                self.find(f"left over in {folder}: {left}")
        contents = {tuple(keys) for keys in manifests.values()}
        views = verify_store.names(self.models / "views")
        if len(views) > len(contents) or any(v.endswith(".partial") for v in views):
            self.find(f"views left over: {views} of {len(contents)}")


def work(lull, seed, runs, results):
    for first in range(0, len(runs), RUNS_OF_A_STORE):
        part = runs[first:first + RUNS_OF_A_STORE]
        storm = Storm(lull, random.Random(seed * 1_000_003 + part[0]))
        for run in part:
            before = len(storm.findings)
            try:
                storm.run()
            except Exception as error:  # of this program: a finding too, else it would hide one
                storm.find(f"{type(error).__name__}: {error}")
            results.put(("run", [f"run {run}: {f}" for f in storm.findings[before:]]))
        results.put(("end", (storm.processes, storm.kills, storm.faults)))
        storm.close()
    results.put(("done", None))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lull")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    if "LULL_SANITIZED" in os.environ:  # an instrumented binary starts slowly
        options.runs //= 4
    lull, start = os.path.abspath(options.lull), time.monotonic()
    results, context = multiprocessing.Queue(), multiprocessing
    share = -(-options.runs // options.workers)
    parts = [list(range(i, min(i + share, options.runs))) for i in range(0, options.runs, share)]
    workers = [context.Process(target=work, args=(lull, options.seed, part, results)) for part in parts]
    for worker in workers:
        worker.start()
    findings, done, runs, processes, kills, faults = [], 0, 0, 0, 0, 0
    while done < len(workers):
        kind, value = results.get(timeout=600)
        done += kind == "done"
        if kind == "run":
            runs += 1
            findings += value
            for line in value:
                print(line, flush=True)
            if runs % 100 == 0:
                print(f"{runs} runs, {len(findings)} findings, {time.monotonic() - start:.0f} s", flush=True)
        elif kind == "end":
            processes, kills, faults = processes + value[0], kills + value[1], faults + value[2]
    for worker in workers:
        worker.join()
    print(f"pull storm: {runs} runs of seed {options.seed}, {processes} processes, {kills} killed, "
          f"{faults} faults, "
          f"{len(findings)} findings, {time.monotonic() - start:.0f} s")
    return 1 if findings or runs != options.runs else 0


if __name__ == "__main__":
    sys.exit(main())
