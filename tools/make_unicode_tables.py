#!/usr/bin/env python3
"""Writes src/chat/unicode_tables.inc: what Python's str methods say about every code point."""
import os
import sys
import unicodedata

MAX = 0x110000
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src", "chat", "unicode_tables.inc")


def ranges(predicate):
    out, start = [], None
    for c in range(MAX + 1):
        yes = c < MAX and not 0xD800 <= c <= 0xDFFF and predicate(chr(c))
        if yes and start is None:
            start = c
        elif not yes and start is not None:
            out.append((start, c - 1))
            start = None
    return out


def emit(out, name, type_name, rows):
    out.append(f"constexpr {type_name} {name}[] = {{")
    line = "   "
    for row in rows:
        cell = " {" + ", ".join(str(x) for x in row) + "},"
        if len(line) + len(cell) > 100:
            out.append(line)
            line = "   "
        line += cell
    out.append(line)
    out.append("};")


def mapping(method):
    """Runs (first, last, stride, delta) of single-character results, and the longer results."""
    runs, special = [], []
    for c in range(0x80, MAX):
        if 0xD800 <= c <= 0xDFFF:
            continue
        to = getattr(chr(c), method)()
        if to == chr(c):
            continue
        if len(to) > 1:
            special.append((c, *(ord(x) for x in to), *([0] * (3 - len(to)))))
            continue
        delta = ord(to) - c
        if runs and runs[-1][3] == delta:
            first, last, stride, _ = runs[-1]
            gap = c - last
            if (first == last and gap <= 2) or (first != last and gap == stride):
                runs[-1] = (first, c, gap, delta)
                continue
        runs.append((c, c, 1, delta))
    return runs, special


def main():
    out = [f"// Written by tools/make_unicode_tables.py (Unicode {unicodedata.unidata_version}). Do not edit."]
    # A character's own case-less properties; alpha's upper and lower sets follow Python's isupper.
    emit(out, "kNotPrintable", "Range", ranges(lambda c: not c.isprintable()))
    emit(out, "kAlpha", "Range", ranges(str.isalpha))
    emit(out, "kUpper", "Range", ranges(str.isupper))
    emit(out, "kLower", "Range", ranges(str.islower))
    emit(out, "kTitle", "Range", ranges(lambda c: unicodedata.category(c) == "Lt"))
    emit(out, "kDecimal", "Range", ranges(str.isdecimal))
    emit(out, "kDigit", "Range", ranges(str.isdigit))
    emit(out, "kNumeric", "Range", ranges(str.isnumeric))
    for method in ("upper", "lower", "title"):
        runs, special = mapping(method)
        emit(out, f"k{method.capitalize()}Map", "CaseRun", runs)
        emit(out, f"k{method.capitalize()}Special", "CaseSpecial", special)
    with open(OUT, "w") as f:
        f.write("\n".join(out) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
