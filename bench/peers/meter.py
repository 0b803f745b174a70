"""Children with their CPU time, and what else the machine did meanwhile."""
import dataclasses
import json
import os
import resource
import signal
import subprocess
import time

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A child did not give what was asked of it; the text says why."""


@dataclasses.dataclass
class Child:
    stdout: str
    stderr: str
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int = 0  # of run_for_peak alone


def run_child(command, timeout_s=1800, before_exec=None, env=None):
    """Runs a command to its end. Failed where it cannot be started, runs too long or ends badly."""
    start = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, errors="replace", preexec_fn=before_exec, env=env)
        with process:
            try:
                stdout, stderr = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise Failed(f"{os.path.basename(command[0])} ran longer than {timeout_s} s") from None
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        raise Failed(f"{os.path.basename(command[0])} {describe_exit(process.returncode)}: {last_line(stderr)}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Child(stdout, stderr, time.monotonic() - start, cpu_s)


def run_for_peak(command, timeout_s=1800):
    """run_child with the child's own peak RSS, read every 2 ms: what wait4 says begins with the parent's."""
    start = time.monotonic()
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from None
    peak_bytes = 0
    while True:
        peak_bytes = max(peak_bytes, peak_rss_bytes(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - start > timeout_s:
            process.kill()
            timeout_s = float("inf")
        time.sleep(0.002)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{os.path.basename(command[0])} {describe_exit(process.returncode)}")
    return Child("", "", time.monotonic() - start, usage.ru_utime + usage.ru_stime, peak_bytes)


def peak_rss_bytes(pid):
    """Of a process since its exec; 0 where it has just ended."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def run_json(command, **options):
    child = run_child(command, **options)
    try:
        return json.loads(child.stdout), child
    except ValueError:
        raise Failed(f"{os.path.basename(command[0])} printed no JSON: {last_line(child.stdout)}") from None


def describe_exit(code):
    return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no message"


def parse_proc_stat(line):
    """(busy, steal, total) CPU-seconds of the first line of /proc/stat."""
    ticks = [int(field) for field in line.split()[1:9]]
    ticks += [0] * (8 - len(ticks))
    user, nice, system, idle, iowait, irq, softirq, steal = ticks
    busy = user + nice + system + irq + softirq
    return busy / TICKS_PER_S, steal / TICKS_PER_S, (busy + idle + iowait + steal) / TICKS_PER_S


def cpu_of(pid):
    """CPU seconds of a living process, its threads together; 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


class MachineMeter:
    """From its making to shares(): how much of the machine went to others.

    alive() gives the CPU seconds of measured processes that still live.
    """

    def __init__(self, alive=lambda: 0.0, read_stat=None, read_own=None):
        self._alive = alive
        self._read_stat = read_stat or self._stat
        self._read_own = read_own or self._own
        self._own_start, self._stat_start = self._read_own() + alive(), self._read_stat()

    def shares(self):
        busy, steal, total = (b - a for a, b in zip(self._stat_start, self._read_stat()))
        own = self._read_own() + self._alive() - self._own_start
        total = max(total, 1e-9)
        return {"foreign_share": max(0.0, busy - own) / total, "steal_share": max(0.0, steal) / total}

    @staticmethod
    def _stat():
        with open("/proc/stat", encoding="ascii") as file:
            return parse_proc_stat(file.readline())

    @staticmethod
    def _own():
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def is_quiet(shares, limit):
    return shares["foreign_share"] <= limit and shares["steal_share"] <= limit


def collect_rounds(run_round, rounds, limit, attempts):
    """Calls run_round until `rounds` of them were quiet, `attempts` times at most.

    run_round() gives a dict with foreign_share and steal_share. Returns (kept, discarded, quiet): where
    too few were quiet the least disturbed ones are kept as well and quiet is false.
    """
    kept, discarded = [], []
    for _ in range(max(rounds, attempts)):
        result = run_round()
        (kept if is_quiet(result, limit) else discarded).append(result)
        if len(kept) == rounds:
            return kept, discarded, True
    discarded.sort(key=lambda r: max(r["foreign_share"], r["steal_share"]))
    missing = rounds - len(kept)
    return kept + discarded[:missing], discarded[missing:], False
