#!/usr/bin/env python3
"""Round trips of tool calls: what a template makes of a call is what its model writes, and must be read back as that call.

  tools/compare_calls.py --parser build/release/parse_answer --templates DIR [--golden FILE]

For every template under DIR jinja2 renders a question with its generation prompt, and the same with the model's answer: calls,
text beside them, reasoning before them. What the second has beyond the first is the answer. parse_answer takes it apart, in
pieces of several sizes; content, reasoning and calls must come back. Prints a table; exits 1 where something does not.
--golden writes what was compared: tests/service/goldens/calls.json.
"""
import argparse
import glob
import json
import os
import subprocess
import sys

import compare_templates

ENDS = ["<|im_end|>", "</s>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<｜end▁of▁sentence｜>", "<|call|>", "<|return|>", "[e~[",
        "<turn|>", "<|END_OF_TURN_TOKEN|>", "<seed:eos>", "<|tool_response>", "<|calls|>", "<｜hy_eos:opensource｜>", "<SPECIAL_12>", "<|end_of_msg|>",
        "</assistant>", "\n<|end|>\n", "<|role_end|>", "<|assistant_end|>", "<sep>", "<|user_start|>", "<end_of_sentence>"]
ARGUMENTS = {"city": "Zürich \"Süd\"", "unit": "celsius", "days": [1, 2], "where": {"lat": 47.5, "lon": None}}
# Ways of calling that are not read back: such calls are text.
NOT_READ = {"MiniMax-M3": "calls are marked by markup in markup", "muse-glimmer": "messages have recipients and calls tags"}
TEXT, REASONING = "Let me look.", "Two things to find out."
VARIABLES = [{}, {"enable_thinking": True}, {"enable_thinking": False}, {"thinking": False}, {"thinking": True}]


def thought_first(prompt, whole):
    """Where the prompt opens reasoning that the history does not keep: the model thinks, then writes what the history has."""
    for opening, close in (("<think>\n", "</think>"), ("<think>", "</think>"), ("Here are my reasoning steps:\n", "[BEGIN FINAL RESPONSE]")):
        if prompt.endswith(opening) and whole.startswith(prompt[:-len(opening)]):
            answer = cut(whole[len(prompt) - len(opening):])
            if "get_weather" in answer and opening.strip() not in answer and close not in answer:
                return prompt, f"{REASONING}\n{close}\n\n{answer}"
    return None


def cut(answer):
    return answer[:min([at for at in (answer.find(mark) for mark in ENDS) if at >= 0], default=len(answer))]


def answer_of(env, source, message):
    """(prompt, answer) for one message of the model, or the reason why there is none."""
    reason = ""
    for as_text in (False, True):
        for variables in VARIABLES:
            job = {"template": source, "messages": [{"role": "user", "content": "Weather?"}], "add_generation_prompt": True,
                   "bos_token": "<s>", "eos_token": "</s>",
                   "extra": {"tools": compare_templates.TOOLS, "functions": json.dumps(compare_templates.TOOLS), "datetime": "today", **variables}}
            written = json.loads(json.dumps(message))
            for call in written["tool_calls"]:
                if as_text:
                    call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
            prompt, error = compare_templates.render(env, job)
            whole, error2 = compare_templates.render(env, {**job, "messages": job["messages"] + [written], "add_generation_prompt": False})
            if prompt is None or whole is None:
                reason = reason or (error or error2)
                continue
            if not whole.startswith(prompt):
                found = thought_first(prompt, whole)
                if found is not None:
                    return found, ""
                reason = reason or "what it makes of an answer does not go on from its generation prompt"
                continue
            answer = cut(whole[len(prompt):])
            if "get_weather" not in answer:
                reason = reason or "it writes no calls down"
                continue
            return (prompt, answer), ""
    return None, reason


def cases(env, source):
    def call(name, arguments, call_id):
        return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    one = [call("get_weather", ARGUMENTS, "abc123def")]
    two = one + [call("now", {}, "abc123deg")]
    for calls in (two, one):
        for content, reasoning in (("", ""), (TEXT, ""), ("", REASONING), (TEXT, REASONING)):
            message = {"role": "assistant", "content": content, "tool_calls": calls}
            if reasoning:
                message["reasoning_content"] = message["thinking"] = reasoning
            found, reason = answer_of(env, source, message)
            yield calls, found, reason


def wrong_with(found, calls, parsed):
    _, answer = found
    if "error" in parsed:
        return parsed["error"]
    if parsed["format"] == "harmony" and TEXT in answer:  # its template writes text beside a call as analysis
        parsed = {**parsed, "content": parsed["reasoning"], "reasoning": ""}
    wanted = {"content": TEXT if TEXT in answer else "", "reasoning": REASONING if REASONING in answer else ""}
    for field, text in wanted.items():
        if parsed[field].strip() != text:
            return f"{field} {parsed[field]!r}"
    shown = [call for call in calls if call["function"]["name"] in answer]
    got = []
    for call in parsed["calls"]:
        try:
            got.append((call["name"], json.loads(call["arguments"])))
        except ValueError:
            return f"arguments {call['arguments']!r}"
    if got != [(call["function"]["name"], call["function"]["arguments"]) for call in shown]:
        return f"calls {parsed['calls']}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parser", required=True)
    parser.add_argument("--templates", required=True)
    parser.add_argument("--golden", default="")
    args = parser.parse_args()
    env = compare_templates.environment()
    rows, good, golden = [], True, []
    for path in sorted(glob.glob(os.path.join(args.templates, "*.jinja"))):
        with open(path, encoding="utf-8", newline="") as file:
            source = file.read()
        name = os.path.basename(path)[:-len(".jinja")]
        trips, reason = [], f"not read back: {NOT_READ[name]}" if name in NOT_READ else ""
        for calls, found, why in cases(env, source):
            reason = reason or why
            if found is not None and name not in NOT_READ and (found, calls) not in trips:
                trips.append((found, calls))
        jobs = "".join(json.dumps({"template": source, "prompt": prompt, "answer": answer, "tools": compare_templates.TOOLS}) + "\n"
                       for (prompt, answer), _ in trips or [(("", ""), [])])
        done = subprocess.run([args.parser], input=jobs.encode(), stdout=subprocess.PIPE, check=True)
        results = [json.loads(line) for line in done.stdout.decode().splitlines()]
        wrong = [w for w in (wrong_with(found, calls, parsed) for (found, calls), parsed in zip(trips, results)) if w]
        good &= not wrong
        rows.append((name, results[0]["format"], len(trips), len(wrong), wrong[0] if wrong else ("" if trips else reason)))
        if trips and not wrong:
            for ((prompt, answer), calls), parsed in list(zip(trips, results))[-1:]:
                golden.append({"template": name, "format": parsed["format"], "prompt": prompt[-48:], "answer": answer,
                               "content": parsed["content"], "reasoning": parsed["reasoning"], "calls": parsed["calls"]})
    print("| template | format | round trips | wrong | note |\n|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(str(cell).replace("\n", "\\n")[:300] for cell in row) + " |")
    formats = {row[1] for row in rows if row[2] and not row[3]}
    print(f"{sum(row[2] for row in rows)} round trips of {sum(bool(row[2]) for row in rows)} templates in {len(formats)} formats, "
          f"{sum(row[3] for row in rows)} wrong")
    if args.golden:
        with open(args.golden, "w", encoding="utf-8") as file:
            file.write("[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in golden) + "\n]\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
