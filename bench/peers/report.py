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


BAR, GAP = 10, 12  # pixels of a bar's height, and between rows
LABEL_WIDTH, COLUMN_WIDTH, TOP = 250, 350, 84
LONGEST = 212  # pixels of the longest bar; the rest of a column is for its text


def svg(record):
    """A line a speed row, prefill beside decode. Bars are tokens per second over the best correct peer's, so the thin
    vertical line is what Lull has to pass."""
    rows = [row for row in record["rows"] if row["kind"] == "speed" and any(_bars(row, phase) for phase in PHASES)]
    longest = max((rate / best_peer(row, f"{phase}_tok_s")[1] for row in rows for phase in PHASES
                   for _, rate, _ in _bars(row, phase)), default=1.0)
    unit, y, out = LONGEST / longest, TOP, []
    for row in rows:
        height = BAR * max(len(_bars(row, phase)) for phase in PHASES)
        out.append(_text(LABEL_WIDTH - 10, y + height / 2 + 4, row["name"], 'text-anchor="end"'))
        for column, phase in enumerate(PHASES):
            out += _column(row, phase, LABEL_WIDTH + column * COLUMN_WIDTH, y, unit)
        y += height + GAP
    ratios = speed_ratios(record["rows"])
    mean = f"geometric mean {geometric_mean([r[2] for r in ratios]):.2f}x the best correct peer. " if ratios else ""
    names = [name for name in COLOURS if any(name == bar[0] for row in rows for phase in PHASES for bar in _bars(row, phase))]
    head = [_text(10, 24, "Tokens per second, same files, interleaved rounds", 'font-size="16" font-weight="bold"'),
            _text(10, 44, mean + record["machine"]["description"], 'fill="#666"')]
    for i, name in enumerate(names):
        head.append(_bar(10 + 130 * i, 55, 12, name, False))
        head.append(_text(27 + 130 * i, 63, name))
    head += [_text(LABEL_WIDTH + i * COLUMN_WIDTH, TOP - 8, phase, 'font-weight="bold"') for i, phase in enumerate(PHASES)]
    head += [f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{y}" stroke="#ccc"/>'
             for x in (LABEL_WIDTH + i * COLUMN_WIDTH + unit for i in range(len(PHASES)))]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{LABEL_WIDTH + 2 * COLUMN_WIDTH}" height="{y + 4}" '
            f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
            f'{"".join(head + out)}</svg>\n')


def _bars(row, phase):
    """(engine, tokens per second, whether it was wrong), where Lull and a correct peer were measured."""
    key = phase + "_tok_s"
    if phase not in row["phases"] or not best_peer(row, key) or not figure(row, "Lull", key):
        return []
    return [(name, engine["median"][key], bool(engine.get("wrong"))) for name, engine in row["engines"].items()
            if engine.get("median", {}).get(key)]


def _column(row, phase, x, y, unit):
    out = []
    for i, (name, rate, wrong) in enumerate(_bars(row, phase)):
        peer, best = best_peer(row, phase + "_tok_s")
        out.append(_bar(x, y + i * BAR, rate / best * unit, name, wrong))
        note = f"{rate:,.{0 if rate >= 20 else 1}f}"
        if name.startswith("Lull"):
            note += f"  {rate / best:.2f}x {peer}"
        if wrong:
            note += "  wrong answers"
        weight = ' font-weight="bold"' if name == "Lull" else ""
        out.append(_text(x + rate / best * unit + 4, y + i * BAR + BAR - 1, note, f'font-size="10"{weight}'))
    return out


def _bar(x, y, width, name, wrong):
    opacity = ' fill-opacity="0.35"' if wrong else ""
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR - 1}" fill="{COLOURS.get(name, "#777")}"'
            f'{opacity}/>')


def _text(x, y, words, style=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{html.escape(words)}</text>'
