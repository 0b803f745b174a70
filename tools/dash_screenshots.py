#!/usr/bin/env python3
"""Pictures of the dashboard at work, for the docs: docs/images/dash.png and dash_dark.png.

    tools/dash_screenshots.py [LULL] [MODEL] [FLAG...]    (build/release/lull, smollm2; flags of lull serve)

Starts a server with a budget, asks it for a while, and photographs /dash. Needs Chromium
(apt-get install chromium) and a pulled model; pngquant, where it is there, makes the files smaller.
"""
import pathlib
import shutil
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/dash"))
import chromium  # noqa: E402
from lull_server import LullServer  # noqa: E402

PROMPTS = ["Name three colours of the sea.", "Why should a background program leave the CPU to others?",
           "Explain what a memory bus is, to a child. " * 8, "List five birds.", "What is a budget? " * 20]
SECONDS = 40


def ask_until(stop, server, first):
    turn = first
    while not stop.is_set():
        messages = [{"role": "user", "content": PROMPTS[turn % len(PROMPTS)]}]
        server.post("/v1/chat/completions", {"messages": messages, "temperature": 0, "max_tokens": 48})
        turn += 1


def photograph(server, dark, name):
    with chromium.Chromium(chromium.find(), width=1240, height=900, dark=dark) as browser:
        browser.open(server.url + "/dash")
        browser.wait_for("document.querySelectorAll('#requests tr').length >= 5", 120)
        browser.evaluate(f"new Promise((done) => setTimeout(done, {SECONDS * 500}))")
        path = ROOT / "docs/images" / name
        browser.screenshot(str(path))
    if shutil.which("pngquant"):
        subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", str(path)], check=False)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


def main(lull=str(ROOT / "build/release/lull"), model="smollm2", *flags):
    if chromium.find() is None:
        sys.exit("no Chromium: apt-get install chromium")
    evidence = str(ROOT / "bench/records/budget.jsonl")
    budget = ["--cpu", "35%", "--cpu-p99", "50%", "--p95", "2.5s", "--mem-bw", "8GB/s", "--ram", "512MiB"]
    with LullServer(lull, model, *budget, "--evidence", evidence, *flags) as server:
        stop = threading.Event()
        askers = [threading.Thread(target=ask_until, args=(stop, server, i)) for i in range(2)]
        for asker in askers:
            asker.start()
        try:
            photograph(server, False, "dash.png")
            photograph(server, True, "dash_dark.png")
        finally:
            stop.set()
            for asker in askers:
                asker.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
