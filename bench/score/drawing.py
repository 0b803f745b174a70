"""The scorecard as Markdown and as a drawing."""
import html

COLOURS = {"Lull": "#2c6e49", "llama-server, 1 thread": "#8d99ae", "llama-server, 2 threads": "#bfc7d5"}
MARKS = {"met": "met", "missed": "**missed**", "unproven": "unproven"}
BEGIN, END = "<!-- scorecard -->", "<!-- /scorecard -->"


def number(value, unit):
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 or unit in ("", "MB", "ms") else 1 if unit == "%" else 2
    text = f"{value:,.{digits}f}"
    return f"{text}{'' if unit.startswith('/') or not unit else ' '}{unit}"


def limit_text(result):
    sign = "≥" if result["at_least"] else "≤"
    if result["relative"]:
        return f"{sign} {result['limit']:g}x of llama-server's best"
    return f"{sign} {number(result['limit'], result['unit'])}"


def table(results, record_path):
    lines = ["| what | Lull | llama-server, best | target | |", "|---|---|---|---|---|"]
    for result in results:
        peer = number(result["peer"], result["unit"])
        if result["ratio"] is not None:
            peer += f" ({result['ratio']:.2f}x)"
        lines.append(f"| {result['row']}: {result['title']} | {number(result['measured'], result['unit'])} | {peer} | "
                     f"{limit_text(result)} | {MARKS[result['verdict']]} |")
    counts = {word: sum(r["verdict"] == word for r in results) for word in MARKS}
    lines += ["", f"{counts['met']} met, {counts['missed']} missed, {counts['unproven']} unproven; from "
                  f"[`{record_path}`]({record_path}), reproduced by `bench/scorecard`."]
    return "\n".join(lines)


def replace_table(text, markdown):
    """The text with what stands between the marks replaced; unchanged where it has no marks."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        return text
    return f"{head}{BEGIN}\n{markdown}\n{END}{tail}"


WIDTH, LEFT, BAR, GAP, TOP = 860, 230, 13, 16, 76


def svg(rows, title):
    """Latencies and costs of the endpoint load: a group a figure, a bar an engine, each as long as its share of the
    group's longest."""
    from judge import figure_of, TARGETS  # pylint: disable=import-outside-toplevel
    shown = [t for t in TARGETS if t.row in rows and (t.against or t.title.startswith(("CPU mean", "CPU p99", "peak")))]
    y, out = TOP, []
    for target in shown:
        bars = [(name, figure_of(target, rows[target.row], name)) for name in COLOURS]
        bars = [(name, value) for name, value in bars if value is not None]
        if not bars:
            continue
        longest = max(value for _, value in bars) or 1
        out.append(_text(LEFT - 10, y + BAR, f"{target.row}: {target.title}"[:44], 'text-anchor="end"'))
        for name, value in bars:
            width = max(1, value / longest * (WIDTH - LEFT - 120))
            weight = ' font-weight="bold"' if name == "Lull" else ""
            out.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{COLOURS[name]}"/>')
            out.append(_text(LEFT + width + 5, y + BAR - 3, number(value, target.unit), f'font-size="10"{weight}'))
            y += BAR
        y += GAP
    head = [_text(12, 24, "Lull beside llama-server, same load, same files", 'font-size="16" font-weight="bold"'),
            _text(12, 42, title, 'fill="#666"')]
    for i, name in enumerate(COLOURS):
        head.append(f'<rect x="{12 + 190 * i}" y="52" width="12" height="11" fill="{COLOURS[name]}"/>')
        head.append(_text(30 + 190 * i, 62, name))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 6}" font-family="sans-serif" '
            f'font-size="11"><rect width="100%" height="100%" fill="white"/>{"".join(head + out)}</svg>\n')


def _text(x, y, words, style=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{html.escape(words)}</text>'
