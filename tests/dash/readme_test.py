#!/usr/bin/env python3
"""Every curl line of the README against a real server: each answers, none with an error.

    readme_test.py LULL MODEL.gguf README.md

Exits 77 (skipped) where curl is missing. Python blocks are run too where their client library is installed.
"""
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from lull_server import LullServer

failures = []


def blocks(text):
    """(language, body) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def curl_commands(body):
    """Each command that begins with curl, on to where its quotes are closed and no line is continued."""
    lines = iter(body.splitlines())
    for line in lines:
        if not line.lstrip().startswith("curl "):
            continue
        command = line
        while command.count("'") % 2 == 1 or command.endswith("\\"):
            command += "\n" + next(lines)
        yield command


def to_server(text, server):
    return re.sub(r"(127\.0\.0\.1|localhost):\d+", f"127.0.0.1:{server.port}", text)


def report(good, what, why=""):
    print(("ok    " if good else "FAILS ") + what.splitlines()[0] + ("" if good else f": {why}"))
    if not good:
        failures.append(what)


def answers(output):
    """The JSON values of a plain answer, of NDJSON or of a stream of events."""
    text = output.strip()
    try:
        return [json.loads(text)]
    except ValueError:
        lines = [line.removeprefix("data: ") for line in text.splitlines() if line.strip()]
        return [json.loads(line) for line in lines if line.startswith("{")]


def run_curl(command, server):
    done = subprocess.run(["bash", "-c", to_server(command, server).replace("curl ", "curl -sS ", 1)],
                          capture_output=True, text=True, timeout=300)
    values = answers(done.stdout)
    good = done.returncode == 0 and values and not any(value.get("error") for value in values)
    report(good, command, (done.stderr + done.stdout)[:300])


def run_python(body, server):
    library = re.search(r"^(?:from|import) (\w+)", body, re.MULTILINE).group(1)
    if importlib.util.find_spec(library) is None:
        print(f"skips a block of Python: no {library}")
        return
    environment = dict(os.environ, OLLAMA_HOST=f"127.0.0.1:{server.port}")
    done = subprocess.run([sys.executable, "-c", to_server(body, server)], capture_output=True, text=True,
                          timeout=300, env=environment)
    report(done.returncode == 0 and done.stdout.strip() != "", body, done.stderr[-300:])


def main(lull, model, readme):
    if shutil.which("curl") is None:
        print("no curl: skipped")
        return 77
    text = pathlib.Path(readme).read_text(encoding="utf-8")
    commands = [command for _, body in blocks(text) for command in curl_commands(body)]
    with LullServer(lull, model) as server:
        for command in commands:
            run_curl(command, server)
        for language, body in blocks(text):
            if language == "python":
                run_python(body, server)
    report(len(commands) > 0, "the README has curl lines")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
