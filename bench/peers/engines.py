"""One class an engine: what it supports, its speed on a row, its perplexity, its CPU seconds, its peak.

An engine raises meter.Failed with a reason that belongs in the report. Rates are tokens per second under
"prefill_tok_s" and "decode_tok_s".
"""
import json
import os
import re
import select
import subprocess
import tempfile

import logits
import meter

PHASES = ("prefill", "decode")
PERPLEXITY_CTX = 512
PERPLEXITY_TOLERANCE = 1.01  # against the best engine on the same text
ROUNDS_SHORT, ROUNDS_LONG = 1, 6  # CPU seconds: the difference of two runs, so that loading drops out


def rate_key(phase):
    return f"{phase}_tok_s"


def cpu_key(phase):
    return f"cpu_s_per_1k_{phase}"


def lengths(row, phases=PHASES):
    """(prompt, new) with what is not in phases left out."""
    return row.prompt if "prefill" in phases else 0, row.new if "decode" in phases else 0


def cpu_by_difference(run, tokens):
    """CPU seconds per 1,000 tokens; run(rounds) gives the CPU seconds of a whole process.

    Infinite where the longer run took less: the machine was too disturbed for a figure.
    """
    short, long = run(ROUNDS_SHORT), run(ROUNDS_LONG)
    if long <= short:
        return float("inf")
    return 1000 * (long - short) / (tokens * (ROUNDS_LONG - ROUNDS_SHORT))


class Score:
    """How an engine or variant shows that it computes rightly; each call raises meter.Failed where it cannot.

    perplexity(text path); tops(text path, Reference or None) -> as Reference.tops, for files with random weights.
    """

    def __init__(self, perplexity, tops=None):
        self.perplexity, self.tops = perplexity, tops


class Engine:
    name = ""

    def prepare(self, row, path, is_correct):
        """Before the rounds of a row, and cheap when called again: scouting, loading.

        is_correct(label, Score) -> bool judges and remembers.
        """

    def finish(self):
        """After the rounds of a row."""

    def alive_cpu_s(self):
        """CPU of a process kept alive between measurements, which getrusage does not show yet."""
        return 0.0

    def notes(self):
        """What of a row's preparation belongs in the record."""
        return {}


class Lull(Engine):
    name = "Lull"

    def __init__(self, binary, activations=None):
        """activations: --activation-type, where it is not the default; an engine of its own then."""
        self._binary, self._activations = binary, activations
        if activations:
            self.name = f"Lull {activations}"

    def prepare(self, row, path, is_correct):
        is_correct(self.name, Score(lambda text: self._perplexity(row, path, text),
                                    lambda _, reference: self._tops(row, path, reference)))

    def measure(self, row, path):
        phases = row.phases
        result, _ = self._bench(row, path, *lengths(row, phases), rounds=1)
        sample = {rate_key(p): result[rate_key(p)]["median"] for p in phases}
        sample |= {cpu_key(p) + "_own_clock": result[cpu_key(p)] for p in phases}
        shares = {"prefill": "int_peak_share", "decode": "bandwidth_share"}
        sample |= {shares[p]: result[shares[p]] for p in phases}
        sample |= {"bandwidth_gb_s": result["bandwidth_gb_s"], "int8_peak_gmac_s": result["int8_peak_gmac_s"]}
        return sample

    def _perplexity(self, row, path, text):
        output, _ = meter.run_json([self._binary, "perplexity", path, text, "--ctx", str(PERPLEXITY_CTX), "--json",
                                    *self._flags(row)])
        return output["perplexity"]

    def _tops(self, row, path, reference):
        keys, _ = meter.run_json([self._binary, "inspect", path, "--json"])
        keys = keys["keys"]
        bos = int(keys["tokenizer.ggml.bos_token_id"]) if keys.get("tokenizer.ggml.add_bos_token") == "true" else None
        return [self._tops_of(row, path, chunk if bos is None else [bos] + chunk[1:]) for chunk in reference.chunks]

    def _tops_of(self, row, path, tokens):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(tokens, file)
            file.flush()
            output, _ = meter.run_json([self._binary, "score", path, "--tokens", file.name, "--logprobs", "1000",
                                        *self._flags(row)])
        positions = logits.scored_positions(len(tokens))
        return [{t["id"]: t["logprob"] for t in output["positions"][i]} for i in positions]

    def cpu_per_1k(self, row, path, phase):
        prompt, new = lengths(row, (phase,))
        return cpu_by_difference(lambda rounds: self._bench(row, path, prompt, new, rounds)[1].cpu_s, prompt + new)

    def start_command(self, row, path, new):
        return [self._binary, "run", path, "Hi", "--raw", "-n", str(new), "-c", "512", "-t", str(row.threads),
                *self._flags(row)]

    def pack(self, path):
        """A packed file for quick starts, where this build makes one."""
        verbs = [line.split()[0] for line in meter.run_child([self._binary, "--help"]).stdout.splitlines() if line.split()]
        if "pack" not in verbs:
            return False
        meter.run_child([self._binary, "pack", path])
        return True

    def throttled(self, row, path, before_exec):
        """CPU seconds per 1,000 tokens by phase with before_exec run in the child first."""
        result, _ = self._bench(row, path, row.prompt, row.new, 1, before_exec=before_exec)
        return {cpu_key(p): result[cpu_key(p)] for p in PHASES}

    def _bench(self, row, path, prompt, new, rounds, before_exec=None):
        output, child = meter.run_json(
            [self._binary, "bench", path, "-p", str(prompt), "-n", str(new), "-d", str(row.depth), "-t",
             str(row.threads), "-r", str(rounds), "--json", *self._flags(row)], before_exec=before_exec)
        return output["results"][0], child

    def _flags(self, row):
        flags = ["--isa", row.isa] if row.isa else []
        return flags + (["--activation-type", self._activations] if self._activations else [])


class LlamaCpp(Engine):
    """The best of builds and flags. A scouting run a row finds the two fastest correct variants of each
    phase; the measured rounds run those, and the faster one of a round counts."""
    name = "llama.cpp"
    flags = [{"-fa": fa, "--repack": repack} for fa in ("1", "0") for repack in ("1", "0")]
    perplexity_flags = {("-fa", "1"): ["-fa", "on"], ("-fa", "0"): ["-fa", "off"],
                        ("--repack", "1"): [], ("--repack", "0"): ["--no-repack"]}
    finalists = 2

    def __init__(self, builds, avx2_builds=()):
        self._builds, self._avx2_builds = dict(builds), dict(avx2_builds)
        self._chosen, self._notes, self._scouted = {}, {}, {}

    def variants(self, row):
        builds = self._avx2_builds if row.isa == "avx2" else self._builds if row.isa is None else {}
        return [(build, tuple(flags.items())) for build in builds for flags in self.flags]

    @staticmethod
    def label(variant):
        build, flags = variant
        return " ".join([build, *(f"{flag} {value}" for flag, value in flags)])

    def prepare(self, row, path, is_correct):
        variants = self.variants(row)
        if not variants:
            raise meter.Failed("no build of it for this row")
        key = (path, row.threads, row.isa, row.depth, row.prompt, row.phases)
        if key not in self._scouted:
            self._scouted[key] = self._scout(row, path, variants)
        rates, failures = self._scouted[key]
        wrong = []

        def correct(variant):
            ok = is_correct(self.label(variant), Score(lambda text: self._perplexity(row, path, variant, text),
                                                       lambda text, _: self._saved(row, path, variant, text, 1000).tops))
            if not ok:
                wrong.append(self.label(variant))
            return ok

        self._chosen = {phase: choose(ranked(rates, phase), correct, self.finalists) for phase in row.phases}
        self._notes = {"scouting": {self.label(v): r for v, r in rates.items()}, "failed": failures,
                       "wrong": sorted(set(wrong)),
                       "finalists": {p: [self.label(v) for v in vs] for p, vs in self._chosen.items()}}
        empty = [phase for phase, found in self._chosen.items() if not found]
        if empty:
            raise meter.Failed(f"no variant of it both ran and was correct ({', '.join(empty)})")

    def notes(self):
        return self._notes

    def measure(self, row, path):
        sample, each = {}, {}
        for variant in dict.fromkeys(v for found in self._chosen.values() for v in found):
            phases = [p for p in row.phases if variant in self._chosen[p]]
            rates = self._bench(row, path, variant, *lengths(row, phases))[0]
            each[self.label(variant)] = rates
            for key, value in rates.items():
                sample[key] = max(sample.get(key, 0.0), value)
        return sample | {"variants": each}

    def cpu_per_1k(self, row, path, phase):
        prompt, new = lengths(row, (phase,))
        return min(cpu_by_difference(lambda rounds, v=variant: self._bench(row, path, v, prompt, new, rounds)[1].cpu_s,
                                     prompt + new) for variant in self._chosen[phase])

    def start_command(self, row, path, new):
        build, flags = next(iter(self._chosen.values()))[0] if self._chosen else self.variants(row)[0]
        return [self._program(build, "llama-completion"), "-m", path, "-p", "Hi", "-no-cnv", "--no-warmup", "-n",
                str(new), "-c", "512", "-t", str(row.threads), *self._long_flags(flags)]

    def _program(self, build, name):
        return os.path.join((self._builds | self._avx2_builds)[build], name)

    def _long_flags(self, flags):
        return [word for flag in flags for word in self.perplexity_flags[flag]]

    def _scout(self, row, path, variants):
        rates, failures = {}, {}
        prompt, new = lengths(row, row.phases)
        for variant in variants:
            try:
                rates[variant] = self._bench(row, path, variant, min(prompt, 256), min(new, 32))[0]
            except meter.Failed as error:
                failures[self.label(variant)] = str(error)
        return rates, failures

    def _bench(self, row, path, variant, prompt, new, rounds=1):
        build, flags = variant
        output, child = meter.run_json(
            [self._program(build, "llama-bench"), "-m", path, "-p", str(prompt), "-n", str(new), "-t", str(row.threads),
             "-r", str(rounds), "-o", "json", *(["-d", str(row.depth)] if row.depth else []),
             *(word for flag in flags for word in flag)])
        return parse_llama_bench(output), child

    def reference(self, row, path, text):
        """What others are held against on random weights: flash attention and repacking off."""
        build = next(iter(self.variants(row)), (None,))[0]
        if build is None:
            raise meter.Failed("no build of it for this row")
        return self._saved(row, path, (build, (("-fa", "0"), ("--repack", "0"))), text, logits.TOP)

    def _saved(self, row, path, variant, text, top):
        build, flags = variant
        try:
            return logits.run_and_parse(lambda out: meter.run_child(
                # One chunk a batch: release 11434 dies on several where it has repacked experts.
                [self._program(build, "llama-perplexity"), "-m", path, "-f", text, "-c", str(logits.CONTEXT),
                 "-b", str(logits.CONTEXT), "--chunks", str(logits.CHUNKS), "--save-all-logits", out, "-t", str(row.threads),
                 *self._long_flags(flags)]), top)
        except (logits.Malformed, OSError) as error:
            raise meter.Failed(f"llama-perplexity's saved logits: {error}") from None

    def _perplexity(self, row, path, variant, text):
        build, flags = variant
        child = meter.run_child(
            [self._program(build, "llama-perplexity"), "-m", path, "-f", text, "-c", str(PERPLEXITY_CTX), "-t",
             str(row.threads), *self._long_flags(flags)])
        return parse_llama_perplexity(child.stdout + child.stderr)


class IkLlamaCpp(LlamaCpp):
    """A built ik_llama.cpp: the same programs, other flags."""
    name = "ik_llama.cpp"
    flags = [{"-fa": "1", "-rtr": rtr} for rtr in ("0", "1")]
    perplexity_flags = {("-fa", "1"): ["-fa"], ("-rtr", "0"): [], ("-rtr", "1"): ["-rtr"]}


class OpenVino(Engine):
    name = "OpenVINO"

    def __init__(self, python, environment=None):
        self._python, self._environment = python, environment
        self._process, self._loaded, self._refused = None, None, {}
        self.version = ""

    def prepare(self, row, path, is_correct):
        if row.isa:
            raise meter.Failed("has no switch for the instruction set")
        self._load(path, row.threads)
        is_correct(self.name, Score(lambda text: self._ask(
            {"do": "perplexity", "text": text, "ctx": PERPLEXITY_CTX})["perplexity"]))

    def measure(self, row, path):
        self._load(path, row.threads)
        prompt, new = lengths(row, row.phases)
        answer = self._ask({"do": "speed", "prompt": prompt, "new": new, "depth": row.depth})
        answer.pop("cpu_s", None)
        return answer

    def cpu_per_1k(self, row, path, phase):
        self._load(path, row.threads)
        prompt, new = lengths(row, (phase,))
        return self._ask({"do": "speed", "prompt": prompt, "new": new, "depth": row.depth})[cpu_key(phase)]

    def finish(self):
        if self._process is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process, self._loaded = None, None

    def alive_cpu_s(self):
        return 0.0 if self._process is None else meter.cpu_of(self._process.pid)

    def _load(self, path, threads):
        if self._loaded == (path, threads):
            return
        self.finish()
        if path in self._refused:
            raise meter.Failed(self._refused[path])
        worker = os.path.join(os.path.dirname(os.path.abspath(__file__)), "openvino_worker.py")
        self._process = subprocess.Popen([self._python, worker, path, str(threads)], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                         env=self._environment)
        hello = self._read()
        if "error" in hello:
            self.finish()
            self._refused[path] = f"does not read this file: {hello['error']}"
            raise meter.Failed(self._refused[path])
        self.version = hello["version"]
        self._loaded = (path, threads)

    def _ask(self, request):
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise meter.Failed("its worker died") from None
        answer = self._read()
        if "error" in answer:
            raise meter.Failed(answer["error"])
        return answer

    def _read(self, timeout_s=1800):
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            self._process.kill()
            raise meter.Failed(f"no answer within {timeout_s} s")
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._loaded = None
            raise meter.Failed(f"its worker {meter.describe_exit(self._process.returncode)}")
        return json.loads(line)


def has_k_quants(model):
    return "_k" in model or model in ("gemma3-270m", "lfm2-8b-a1b-shape")


def ranked(rates, phase):
    """Variants by falling speed of one phase; those without a figure left out."""
    key = rate_key(phase)
    return sorted((v for v in rates if rates[v].get(key, 0) > 0), key=lambda v: -rates[v][key])


def choose(candidates, is_correct, count):
    found = []
    for candidate in candidates:
        if len(found) == count:
            break
        if is_correct(candidate):
            found.append(candidate)
    return found


def parse_llama_bench(rows):
    return {rate_key("prefill" if row["n_prompt"] > 0 else "decode"): row["avg_ts"] for row in rows}


def parse_llama_perplexity(text):
    found = re.search(r"Final estimate: PPL = ([0-9.]+|-?nan|inf)", text)
    if not found:
        raise meter.Failed(f"llama-perplexity gave no estimate: {meter.last_line(text)}")
    return float(found.group(1))
