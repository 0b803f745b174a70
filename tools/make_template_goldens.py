#!/usr/bin/env python3
"""Writes FOLDER/constructs.json (tests/chat/goldens): small templates and what jinja2 makes of them.

The cases are in tools/template_cases.txt, one template a line (\\n, \\t and \\r as escapes, outside of
which a backslash is itself written \\\\).
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare_templates

HERE = os.path.dirname(os.path.abspath(__file__))

VARIABLES = {
    "s": "Hello, World", "u": "Straße ΑΣ 漢字 👍 é", "ws": "  \t pad\u00a0\n", "n": 42, "f": 2.5, "neg": -7, "yes": True,
    "no": False, "null": None, "xs": [3, 1, 2], "names": ["b", "A", "c", "B"], "nested": [[1, [2, 3]], []],
    "d": {"b": 1, "a": [1, 2], "C": {"x": None}}, "empty": {}, "quote": "it's \"q\"\n\\ \t\u0001 é 👍",
    "items": [{"k": "x", "v": 2, "on": True, "in": {"z": 1}}, {"k": "y", "v": 1, "on": False, "in": {"z": 2}},
              {"k": "X", "v": 3, "on": True, "in": {"z": 3}}],
    "html": "<a href='x'>&\"</a>", "lines": "one\ntwo\r\nthree\n\nfive", "big": 9007199254740993, "tiny": 1e-7,
    "floats": [0.1, 1.0, 1e16, 1e15, 123456789.125, 1e-5, 0.0001, -0.0, 1e300, 5e-324],
}


def main():
    env = compare_templates.environment()
    cases = []
    with open(os.path.join(HERE, "template_cases.txt"), encoding="utf-8") as f:
        sources = [line.rstrip("\n") for line in f if line.strip() and not line.startswith("##")]
    for source in sources:
        source = source.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r").replace("\0", "\\")
        text, error = compare_templates.render(env, {
            "template": source, "messages": [{"role": "user", "content": "hi"}], "extra": VARIABLES,
            "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"})
        cases.append({"template": source, "text": text} if error is None else {"template": source, "error": error})
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "tests", "chat", "goldens")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "constructs.json"), "w", encoding="utf-8") as f:
        f.write('{"now": %d, "variables": %s,\n "cases": [\n' % (
            compare_templates.NOW, json.dumps(VARIABLES, ensure_ascii=False)))
        f.write(",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases))
        f.write("\n]}\n")
    print(f"{len(cases)} cases, {sum('error' in c for c in cases)} of them errors")


if __name__ == "__main__":
    main()
