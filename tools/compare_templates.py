#!/usr/bin/env python3
"""Renders real chat templates with jinja2, set up as transformers does, and with render_template.

  tools/compare_templates.py --renderer build/dev/render_template --templates DIR [--gguf FILE ...]

Every *.jinja under DIR and the template of each GGUF file is rendered for a set of conversations;
both sides must give the same text, or both must refuse. Exits 1 where one differs.
"""
import argparse
import collections
import datetime
import glob
import json
import os
import subprocess
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1756912345  # the injected clock: 2025-09-03 15:12:25 UTC


class GenerationTag(jinja2.ext.Extension):
    """{% generation %} marks the assistant's text for training; it renders its body."""

    tags = {"generation"}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_pass_through")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(lineno)

    @staticmethod
    def _pass_through(caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def strftime_now(pattern):
    return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None).strftime(pattern)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[GenerationTag, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


COMPILED = {}


def compiled(env, source):
    if source not in COMPILED:
        COMPILED[source] = env.from_string(source)
    return COMPILED[source]


def render(env, job):
    """The text and None, or None and the error."""
    variables = {"tools": None, "documents": None}
    variables.update(messages=job["messages"], add_generation_prompt=job["add_generation_prompt"],
                     bos_token=job["bos_token"], eos_token=job["eos_token"])
    variables.update(job.get("extra", {}))
    try:
        return compiled(env, job["template"]).render(**variables), None
    except Exception as error:  # any refusal counts as one
        return None, f"{type(error).__name__}: {error}"


TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather in a city.\nToday's only; \"quoted\" & <tagged>.",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "The city's name"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
            "days": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "where": {"type": "object", "properties": {"lat": {"type": "number"}, "lon": {"type": ["number", "null"]}},
                      "required": ["lat"]},
        }, "required": ["city"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time — heure ⏰",
                                      "parameters": {"type": "object", "properties": {}}}},
]


def call(name, arguments, call_id="abc123def"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def conversations():
    """(name, messages, extra variables) of every case; each with and without a generation prompt."""
    system = {"role": "system", "content": "You are a careful assistant.\nAnswer briefly."}
    user = {"role": "user", "content": "What is 2+2?"}
    reply = {"role": "assistant", "content": "4."}
    more = {"role": "user", "content": "  And 3+3?  \n"}
    weather = {"role": "user", "content": "Weather in Zürich?"}
    args = {"city": "Zürich", "unit": "celsius", "days": [1, 2], "where": {"lat": 47.37, "lon": None}, "ok": True}
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "abc123def", "content": '{"temp": 21.5}'}
    last = {"role": "assistant", "content": "It is 21.5 °C."}
    tools = {"tools": TOOLS}
    cases = [
        ("user", [user], {}),
        ("system", [system, user], {}),
        ("turns", [system, user, reply, more], {}),
        ("turns without system", [user, reply, more], {}),
        ("ends with assistant", [user, reply], {}),
        ("long", [system] + [user, reply] * 6 + [more], {}),
        ("empty", [], {}),
        ("empty content", [{"role": "user", "content": ""}], {}),
        ("null content", [{"role": "user", "content": None}], {}),
        ("unicode", [{"role": "user", "content": "Ünïcödé 漢字 👩‍👩‍👧 \u00a0ß\u2028 'q' \"d\" \\ {{ x }} {% y %} <b>&amp;"}], {}),
        ("whitespace", [{"role": "user", "content": "\n\n  a\tb \r\n c  \n\n"}, {"role": "assistant", "content": "\n x \n"}, user], {}),
        ("unknown role", [{"role": "critic", "content": "hm"}], {}),
        ("developer", [{"role": "developer", "content": "Dev says."}, user], {}),
        ("two systems", [system, system, user], {}),
        ("late system", [user, reply, system, more], {}),
        ("two users", [user, more], {}),
        ("starts with assistant", [reply, user], {}),
        ("missing content", [{"role": "user"}], {}),
        ("parts", [{"role": "user", "content": [{"type": "text", "text": "One "}, {"type": "text", "text": "two"}]}], {}),
        ("parts with system", [{"role": "system", "content": [{"type": "text", "text": "Sys"}]},
                               {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                               {"role": "assistant", "content": [{"type": "text", "text": "Ho"}]},
                               {"role": "user", "content": [{"type": "text", "text": "Hey"}]}], {}),
        ("image", [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}], {}),
        ("tools offered", [user], tools),
        ("tools and system", [system, weather], tools),
        ("tool call, object", [system, weather, {"role": "assistant", "content": "", "tool_calls": [call("get_weather", args)]}, result], tools),
        ("tool call, null content", [weather, {"role": "assistant", "content": None, "tool_calls": [call("get_weather", args)]}, result, last, more], tools),
        ("tool call, no content", [weather, {"role": "assistant", "tool_calls": [call("get_weather", args)]}, result], tools),
        ("tool call, text", [weather, {"role": "assistant", "content": "Let me look.", "tool_calls": [call("get_weather", json.dumps(args))]}, result, last], tools),
        ("tool call, bare", [weather, {"role": "assistant", "content": "", "tool_calls": [{"name": "get_weather", "arguments": args}]}, {"role": "tool", "content": "ok"}], tools),
        ("two tool calls", [weather, {"role": "assistant", "content": "", "tool_calls": [call("get_weather", args, "callaaaa1"), call("now", {}, "callbbbb2")]},
                            {**result, "tool_call_id": "callaaaa1"}, {"role": "tool", "name": "now", "tool_call_id": "callbbbb2", "content": "12:00"}, last], tools),
        ("tool result, parts", [weather, {"role": "assistant", "content": "", "tool_calls": [call("get_weather", args)]},
                                {**result, "content": [{"type": "text", "text": "21.5"}]}, last, more], tools),
        ("tool result, object", [weather, {"role": "assistant", "content": "", "tool_calls": [call("get_weather", args)]},
                                 {**result, "content": {"temp": 21.5, "wind": None}}], tools),
        ("tool calls without tools", [weather, {"role": "assistant", "content": "", "tool_calls": [call("get_weather", args)]}, result, last], {}),
        ("reasoning", [user, {"role": "assistant", "content": "4.", "reasoning_content": "Two and two."}, more], {}),
        ("reasoning with call", [weather, {"role": "assistant", "content": "", "reasoning_content": "Look it up.\n", "tool_calls": [call("get_weather", args)]}, result], tools),
        ("thinking", [user, {"role": "assistant", "content": "4.", "thinking": "Two and two."}, more], {}),
        ("think tags", [user, {"role": "assistant", "content": "<think>\nhm\n</think>\n\n4."}, more], {}),
        ("enable_thinking", [system, user], {"enable_thinking": True}),
        ("disable thinking", [system, user], {"enable_thinking": False}),
        ("thinking", [user], {"thinking": True}),
        ("thinking turned off, tools", [user], {"enable_thinking": False, **tools}),
        ("reasoning effort", [user], {"reasoning_effort": "high"}),
        ("documents", [user], {"documents": [{"title": "T", "text": "Body", "contents": "Body"}]}),
        ("date", [user], {"date_string": "26 Jul 2024", "current_date": "2024-07-26"}),
        ("custom tools", [user], {"custom_tools": TOOLS, "tools_in_user_message": False}),
        ("builtin tools", [user], {"builtin_tools": ["wolfram_alpha", "brave_search", "code_interpreter"], **tools}),
        ("code interpreter", [user], {"tools": TOOLS + [{"type": "code_interpreter"}]}),
        ("names", [{"role": "user", "name": "ann", "content": "hi"}, {"role": "assistant", "name": "bot", "content": "ho"}], {}),
        ("preserve thinking", [user, {"role": "assistant", "content": "4.", "reasoning_content": "r"}, more], {"preserve_thinking": True, "clear_thinking": False, "keep_past_thinking": True}),
    ]
    return cases


def templates(args):
    found = []
    for path in sorted(glob.glob(os.path.join(args.templates, "*.jinja"))) if args.templates else []:
        with open(path, encoding="utf-8", newline="") as f:
            found.append((os.path.basename(path), f.read()))
    for path in args.gguf:
        import gguf
        field = gguf.GGUFReader(path).get_field("tokenizer.chat_template")
        if field is not None:
            found.append((os.path.basename(path), bytes(field.parts[field.data[0]]).decode("utf-8")))
    return found


def jobs(found):
    for name, source in found:
        for case, messages, extra in conversations():
            for prompt in (True, False):
                yield f"{name}: {case}, prompt {prompt}", {
                    "template": source, "messages": messages, "extra": extra, "add_generation_prompt": prompt,
                    "bos_token": "<s>", "eos_token": "</s>", "now": NOW}


def first_difference(a, b):
    i = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f"at {i}: jinja2 {a[max(0, i - 30):i + 40]!r}, ours {b[max(0, i - 30):i + 40]!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--renderer", required=True)
    parser.add_argument("--templates")
    parser.add_argument("--gguf", nargs="*", default=[])
    parser.add_argument("--show", type=int, default=40, help="differences to print")
    parser.add_argument("--table", action="store_true", help="a line for each template, with the reason why both refuse what they do")
    parser.add_argument("--show-errors", action="store_true", help="print what both sides refuse")
    args = parser.parse_args()
    env = environment()
    found = templates(args)
    work = list(jobs(found))
    lines = "".join(json.dumps(job) + "\n" for _, job in work)
    done = subprocess.run([args.renderer], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    answers = [json.loads(line) for line in done.stdout.decode().split("\n") if line]
    assert len(answers) == len(work)
    table = collections.defaultdict(lambda: [0, 0, 0, ""])
    counts, shown, bad, refused = collections.Counter(), 0, set(), collections.Counter()
    for (name, job), answer in zip(work, answers):
        text, error = render(env, job)
        if error is None and answer.get("text") == text:
            counts["equal"] += 1
            table[name.split(":")[0]][0] += 1
        elif error is not None and "error" in answer:
            counts["both refuse"] += 1
            row = table[name.split(":")[0]]
            row[1] += 1
            row[3] = row[3] or error
            refused[(name.split(":")[0], error[:90], answer["error"][:150])] += 1
        else:
            counts["different"] += 1
            table[name.split(":")[0]][2] += 1
            bad.add(name.split(":")[0])
            if shown < args.show:
                shown += 1
                ours = answer.get("text")
                print(f"DIFFERENT {name}\n  " + (first_difference(text, ours) if text is not None and ours is not None
                      else f"jinja2 {error or text[:60]!r}, ours {answer.get('error') or ours[:60]!r}"))
    if args.table:
        print("| template | same text | both refuse | different | the first refusal |\n|---|---|---|---|---|")
        for name, (equal, refuse, different, reason) in table.items():
            shown_reason = reason.replace("\n", "\\n").replace("|", "\\|")[:120]
            print(f"| {name} | {equal} | {refuse} | {different} | {shown_reason} |")
    if args.show_errors:
        for key, count in sorted(refused.items()):
            print("REFUSED", count, *key, sep=" | ")
    print(json.dumps({"templates": len(found), "renders": len(work), "equal": counts["equal"],
                      "both_refuse": counts["both refuse"], "different": counts["different"],
                      "templates_that_differ": sorted(bad)}))
    return 1 if counts["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
