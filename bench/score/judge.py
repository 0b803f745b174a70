"""The targets, and whether the rows meet them: met, missed, or unproven with the reason."""
import dataclasses
import statistics

PEERS = ("llama-server, 1 thread", "llama-server, 2 threads")


def dig(record, *keys):
    """The value at a path of keys, or None."""
    for key in keys:
        if not isinstance(record, dict) or key not in record:
            return None
        record = record[key]
    return record


def _percent(*keys):
    return lambda record: _scale(dig(record, *keys), 100)


def _scale(value, factor):
    return None if value is None else value * factor


def _verdict_figure(name):
    return lambda record: next((line.get("measured") for line in record.get("verdicts", ()) if line["name"] == name), None)


def _level(workers, *keys):
    return lambda record: next((dig(level, *keys) for level in record.get("levels", ())
                                if level["workers"] == workers and level["proven"]), None)


@dataclasses.dataclass(frozen=True)
class Target:
    row: str
    title: str
    figure: object         # record -> number or None
    limit: float           # of the figure; of its ratio to the best peer where against is set
    unit: str = "%"
    at_least: bool = False
    against: object = None  # min or max: which of the peers' figures is their best


def p(width, q):
    return _percent("cpu", f"windows_{width}ms", q, "value")


def latency(q):
    return lambda record: dig(record, "latency_s", q, "value")


TARGETS = (
    Target("endpoint", "CPU mean", _percent("cpu", "mean"), 35.5),
    Target("endpoint", "CPU p99 of 100 ms windows", p(100, "p99"), 38),
    Target("endpoint", "CPU p99 of 20 ms windows", p(20, "p99"), 42),
    Target("endpoint", "allowed CPU used while work waits", _percent("cpu", "used"), 95, at_least=True),
    Target("endpoint", "idle CPU over 60 s", _percent("cpu", "idle"), 0.1),
    Target("endpoint", "latency p50", latency("p50"), 0.5, "s", against=min),
    Target("endpoint", "latency p95", latency("p95"), 0.5, "s", against=min),
    Target("endpoint", "latency p99", latency("p99"), 0.5, "s", against=min),
    Target("endpoint", "CPU-seconds a request", lambda r: dig(r, "cpu", "seconds_per_request"), 0.5, "s", against=min),
    Target("endpoint", "peak memory (PSS)", lambda r: _scale(dig(r, "peak_pss_bytes"), 1e-6), 170, "MB"),
    Target("LFM2-8B-A1B shape", "latency p95", latency("p95"), 2.5, "s"),
    Target("LFM2-8B-A1B shape", "peak memory (PSS)", lambda r: _scale(dig(r, "peak_pss_bytes"), 2 ** -30), 6, "GiB"),
    Target("neighbour, 7B shape", "copy bandwidth lost", _verdict_figure("copy_worse"), 10),
    Target("neighbour, 7B shape", "pointer chase p99 longer", _verdict_figure("chase_p99_worse"), 10),
    Target("neighbour, 7B shape", "compile-like job longer", _verdict_figure("job_worse"), 10),
    Target("budget 35 to 10 %", "holds after", _verdict_figure("holds_after"), 200, "ms"),
    Target("8 sessions", "tokens/s against one", _verdict_figure("sessions_ratio"), 6, "x", at_least=True),
    *(Target("clients", f"requests/s at {n} workers", _level(n, "requests_per_s"), 5, "/s", at_least=True, against=max)
      for n in (10, 50, 100)),
    *(Target("clients", f"latency p95 at {n} workers", _level(n, "latency_s", "p95", "value"), 0.2, "s", against=min)
      for n in (10, 50, 100)),
    Target("256 and 1,000 clients", "5xx and resets", _verdict_figure("errors_and_resets"), 0, ""),
    Target("256 and 1,000 clients", "wrong answers", _verdict_figure("wrong_answers"), 0, ""),
    Target("256 and 1,000 clients", "p99 of /health", _verdict_figure("health_p99"), 50, "ms"),
    Target("system prompt again", "time to first token, of the first", _verdict_figure("reuse_ratio"), 15),
    Target("schema masks", "mask a token, slowest schema's mean", lambda r: dig(r, "slowest_mean_us"), 50, "us"),
    Target("schema texts", "outside their schema, of 10,000", lambda r: dig(r, "outside"), 0, ""),
    Target("governor without a cap", "CPU time more", _verdict_figure("governor_overhead"), 1),
)


def figure_of(target, row, engine):
    """Median over an engine's runs of a row, or None."""
    values = [target.figure(run) for run in dig(row, "engines", engine, "runs") or ()]
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def doubts_of(target, row):
    """Why no figure of the row counts."""
    doubts = []
    if row is None:
        return ["not measured"]
    if row.get("quick"):
        doubts.append("a quick run")
    for name, engine in row["engines"].items():
        if engine.get("failed") and (name == "Lull" or target.against):
            doubts.append(f"{name}: {engine['failed']}")
        if engine.get("disturbed") and (name == "Lull" or target.against):
            doubts.append(f"{name}: others were at work")
    for run in dig(row, "engines", "Lull", "runs") or ():
        # A line unproven for its own reasons: too few samples, steal, a quiet server.
        doubts += [f"{line['name']}: {line.get('reason', '')}" for line in run.get("verdicts", ())
                   if line["verdict"] == "unproven"]
        if row["verb"] == "texts" and run["texts"] < 10_000:
            doubts.append(f"only {run['texts']} texts")
        if row["verb"] == "budget" and row["name"].startswith("endpoint"):
            doubts += dig(run, "load", "not_endpoint") or []
    return list(dict.fromkeys(doubts))


def judge(target, rows):
    """{"row", "title", "measured", "unit", "limit", "peer", "ratio", "verdict", "reason"}"""
    row = rows.get(target.row)
    result = {"row": target.row, "title": target.title, "unit": target.unit, "limit": target.limit,
              "at_least": target.at_least, "relative": bool(target.against), "measured": None, "peer": None, "ratio": None}
    doubts = doubts_of(target, row)
    if row is not None:
        result["measured"] = figure_of(target, row, "Lull")
        peers = [value for value in (figure_of(target, row, name) for name in PEERS) if value is not None]
        if peers:
            result["peer"] = (target.against or min)(peers)
    value = result["measured"]
    if value is None:
        doubts.append("Lull's figure is missing")
    elif target.against:
        if not result["peer"]:
            doubts.append("no peer's figure")
        else:
            value = result["ratio"] = value / result["peer"]
    if doubts:
        return result | {"verdict": "unproven", "reason": "; ".join(dict.fromkeys(doubts))}
    met = value >= target.limit if target.at_least else value <= target.limit
    return result | {"verdict": "met" if met else "missed", "reason": ""}


def judge_all(rows):
    return [judge(target, rows) for target in TARGETS]
