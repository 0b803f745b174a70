"""Judging rows against their goals, the table, the geometric mean and the SVG. Pure functions of the record."""
import html
import math
import statistics

COLOURS = {"Lull": "#2a7f62", "Lull q8_k": "#63b598", "llama.cpp": "#9a9a9a", "OpenVINO": "#c9a24b", "ik_llama.cpp": "#8a7fb0"}
PHASES = ("prefill", "decode")


def medians(samples):
    """Median of each figure over the samples that have it."""
    keys = {key: None for s in samples for key, value in s.items() if isinstance(value, (int, float))}
    return {key: statistics.median(s[key] for s in samples if key in s) for key in keys}


def is_wrong(perplexity, all_perplexities, tolerance):
    """Whether an engine's perplexity is off from the best one of the same file."""
    if perplexity is None:
        return False
    known = [p for p in all_perplexities if p is not None and math.isfinite(p)]
    return not math.isfinite(perplexity) or perplexity > min(known) * tolerance


def figure(row, engine, key):
    return row.get("engines", {}).get(engine, {}).get("median", {}).get(key)


OPTION = "Lull q8_k"  # Lull with --activation-type q8_k: shown beside the defaults, which are what is judged


def goal_value(row, goal, lull="Lull"):
    """The measured value of {"figure", "against", ...}; None where something of it was not measured."""
    what, against = goal["figure"], goal["against"]
    if against in ("peak", "bandwidth"):
        return figure(row, lull, {"peak": "int_peak_share", "bandwidth": "bandwidth_share"}[against])
    if against in ("one token", "unthrottled", "s", "bytes"):
        return figure(row, lull, what)
    ours, theirs = figure(row, lull, what), figure(row, against, what)
    return ours / theirs if ours is not None and theirs else None


def judge(row, goal):
    """The goal with its value and verdict: met, missed or not measured. "either" holds another goal that does as well."""
    value = goal_value(row, goal)
    if value is None:
        verdict = "not measured"
    else:
        verdict = "met" if (value >= goal["bound"] if goal["at"] == "least" else value <= goal["bound"]) else "missed"
    judged = goal | {"value": value, "verdict": verdict}
    with_option = goal_value(row, goal, OPTION)
    if with_option is not None:
        judged["q8_k_value"] = with_option
    engine = row.get("engines", {}).get(goal["against"], {})
    if engine.get("wrong"):
        judged["note"] = f"{goal['against']} is disqualified: {quality_text(engine)}"
    elif value is None:
        judged["note"] = (row.get("skipped") or row.get("engines", {}).get("Lull", {}).get("unsupported")
                          or engine.get("unsupported") or "")
    if "either" in goal:
        other = judge(row, goal["either"])
        judged["either"] = other
        if "met" in (verdict, other["verdict"]):
            judged["verdict"] = "met"
    return judged


def best_peer(row, key):
    """(name, figure) of the fastest peer that was right, or None."""
    found = [(name, engine["median"][key]) for name, engine in row.get("engines", {}).items()
             if not name.startswith("Lull") and not engine.get("wrong") and engine.get("median", {}).get(key)]
    return max(found, key=lambda item: item[1], default=None)


def speed_ratios(rows, engine_of=lambda row: "Lull"):
    """[(row name, phase, Lull over the best correct peer)] of all speed rows; Lull's wrong answers do not count."""
    ratios = []
    for row in rows:
        lull = engine_of(row)
        if row["kind"] != "speed" or row.get("engines", {}).get(lull, {}).get("wrong"):
            continue
        for phase in row["phases"]:
            ours, peer = figure(row, lull, phase + "_tok_s"), best_peer(row, phase + "_tok_s")
            if ours and peer:
                ratios.append((row["name"], phase, ours / peer[1]))
    return ratios


def option_where_it_applies(row):
    return OPTION if row.get("engines", {}).get(OPTION, {}).get("median") else "Lull"


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(v) for v in values)) if values else None


def format_value(value, against):
    if value is None:
        return "-"
    if against in ("peak", "bandwidth", "unthrottled"):
        return f"{100 * value:.0f} %"
    if against == "s":
        return f"{value:.2f} s"
    if against == "bytes":
        return f"{value / 1e6:,.0f} MB"
    return f"{value:.2f}x"


def goal_text(goal):
    sign = "≥" if goal["at"] == "least" else "≤"
    of = {"s": "", "bytes": "", "peak": " of the integer peak", "bandwidth": " of the bandwidth",
          "unthrottled": " of unthrottled", "one token": " one token"}.get(goal["against"], " " + goal["against"])
    return f"{sign} {format_value(goal['bound'], goal['against'])}{of}"


def goal_lines(row):
    for judged in row.get("goals", []):
        label = judged["figure"].removesuffix("_tok_s").removesuffix("_bytes").replace("_", " ")
        own = format_value(judged["value"], judged["against"])
        target = goal_text(judged)
        if "either" in judged:
            target += " or " + goal_text(judged["either"])
            own += " / " + format_value(judged["either"]["value"], judged["either"]["against"])
        note = f"  ({judged['note']})" if judged.get("note") else ""
        if "q8_k_value" in judged:
            note += f"  (q8_k: {format_value(judged['q8_k_value'], judged['against'])})"
        yield f"    {label:26} {own:>16}   {target:46} {judged['verdict']}{note}"


def quality_text(engine):
    if engine.get("perplexity") is not None:
        return f"perplexity {engine['perplexity']:.3f}"
    if engine.get("logit_cosine") is not None:
        return f"logit cosine {engine['logit_cosine']:.5f}"
    return ""


def engine_line(name, engine):
    median = engine.get("median", {})
    parts = [f"{median[p + '_tok_s']:10,.1f} {p}" for p in PHASES if p + "_tok_s" in median]
    if not parts:
        parts = [f"{median['cpu_s_per_1k_' + p]:8.3f} CPU s/1k {p}" for p in PHASES if "cpu_s_per_1k_" + p in median]
    if "first_token_s" in median:
        parts.append(f"{median['first_token_s']:.2f} s to the first token")
    if "peak_rss_bytes" in median and not parts:
        parts.append(f"{median['peak_rss_bytes'] / 1e6:,.0f} MB peak")
    if engine.get("unsupported"):
        parts = ["not supported: " + engine["unsupported"]]
    if quality_text(engine):
        parts.append(quality_text(engine) + (" WRONG: disqualified" if engine.get("wrong") else ""))
    return f"    {name:14} " + "   ".join(parts)


def row_lines(row):
    out = [row["name"]]
    if "skipped" in row:
        out.append(f"    skipped: {row['skipped']}")
    else:
        out += [engine_line(name, engine) for name, engine in row["engines"].items()]
    if row.get("quiet") is False:
        out.append(f"    NOISY: only {row['rounds'] - row['noisy_rounds']} of {row['rounds']} rounds were undisturbed "
                   "(foreign CPU and steal within the limit)")
    return out + list(goal_lines(row))


def table(record):
    out = [line for row in record["rows"] for line in row_lines(row)]
    ratios = speed_ratios(record["rows"])
    if ratios:
        out.append(f"Geometric mean over {len(ratios)} figures, Lull over the best correct peer of each: "
                   f"{geometric_mean([r[2] for r in ratios]):.2f}x; with --activation-type q8_k where it applies: "
                   f"{geometric_mean([r[2] for r in speed_ratios(record['rows'], option_where_it_applies)]):.2f}x")
    verdicts = [goal["verdict"] for row in record["rows"] for goal in row.get("goals", [])]
    out.append("Targets: " + ", ".join(f"{verdicts.count(v)} {v}" for v in ("met", "missed", "not measured")))
    return "\n".join(out)


def svg(record):
    """A group of bars a speed row and phase; the best correct peer's bar is the same length in every group."""
    groups = []
    for row in record["rows"]:
        for phase in row["phases"] if row["kind"] == "speed" else ():
            key = phase + "_tok_s"
            bars = [(name, engine["median"][key], bool(engine.get("wrong"))) for name, engine in row["engines"].items()
                    if engine.get("median", {}).get(key)] if "engines" in row else []
            peer = best_peer(row, key)
            if peer and any(name == "Lull" for name, _, _ in bars):
                groups.append((f"{row['name']}, {phase}", bars, peer))
    bar, gap, left, width = 16, 14, 300, 940
    longest = max((value / peer[1] for _, bars, peer in groups for _, value, _ in bars), default=1.0)
    scale = (width - left - 300) / longest
    out, y = [], 64
    for label, bars, peer in groups:
        out.append(f'<text x="{left - 10}" y="{y + bar - 3}" text-anchor="end">{html.escape(label)}</text>')
        for name, value, wrong in bars:
            length = value / peer[1] * scale
            opacity = ' fill-opacity="0.35"' if wrong else ""
            text = f"{name}  {value:,.0f} tok/s"
            if name.startswith("Lull"):
                text += f"  {value / peer[1]:.2f}x {peer[0]}"
            if wrong:
                text += "  (wrong answers)"
            weight = ' font-weight="bold"' if name == "Lull" else ""
            out.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 2}" '
                       f'fill="{COLOURS.get(name, "#777")}"{opacity}/>')
            out.append(f'<text x="{left + length + 6:.1f}" y="{y + bar - 4}"{weight}>{html.escape(text)}</text>')
            y += bar
        y += gap
    ratios = speed_ratios(record["rows"])
    mean = f"geometric mean {geometric_mean([r[2] for r in ratios]):.2f}x the best correct peer. " if ratios else ""
    head = ('<text x="10" y="24" font-size="16" font-weight="bold">Tokens per second, same files, interleaved rounds'
            f'</text><text x="10" y="44" fill="#666">{html.escape(mean + record["machine"]["description"])}</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" font-family="sans-serif" '
            f'font-size="12"><rect width="100%" height="100%" fill="white"/>{head}{"".join(out)}</svg>\n')
