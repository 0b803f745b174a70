#!/usr/bin/env python3
"""Starts `lull serve` on a free port, runs the tests of one client against it, stops it.

  run.py --lull build/release/lull --model PATH tests/clients/openai_client.py

The client is a Python file of unittest cases; it finds the server's address in LULL_URL and the model's
name in LULL_MODEL, and the packages of requirements.txt in its path. Exit 77: nothing to test with (no
model, or the packages are not installed), which ctest shows as skipped.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77


def model_path(model):
    """A path as it is; a name is looked up in LULL_TEST_MODELS."""
    folder = os.environ.get("LULL_TEST_MODELS")
    if folder and "/" not in model:
        return pathlib.Path(folder) / f"{model}.gguf"
    return pathlib.Path(model)


def start_server(lull, model, extra):
    command = [lull, "serve", str(model), "--port", "0", "--ctx", "2048", "--json", *extra]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = server.stdout.readline()
    if not line:
        sys.exit(f"{' '.join(command)} did not start:\n{server.stderr.read()}")
    while "}" not in line:  # the object may be printed over several lines
        line += server.stdout.readline()
    return server, json.loads(line)["port"]


def stop_server(server):
    """Returns its exit code."""
    server.terminate()
    try:
        return server.wait(timeout=30)
    except subprocess.TimeoutExpired:
        server.kill()
        return server.wait()
    finally:
        server.stdout.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lull", required=True)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--make-tiny-model", default="build/release/make_tiny_model")
    parser.add_argument("client")
    parser.add_argument("rest", nargs="*", help="for unittest, e.g. -k NAME after --")
    arguments = parser.parse_args()
    client = pathlib.Path(arguments.client)
    model = model_path(arguments.model)
    packages = ROOT / "build" / "venv-clients"
    if not model.exists():
        print(f"skipped: no model {model} (set LULL_TEST_MODELS)")
        return SKIPPED
    if not (packages / ".installed").exists():
        print("skipped: tests/clients/install.sh has not been run")
        return SKIPPED
    server, port = start_server(arguments.lull, model, [])
    try:
        environment = dict(os.environ, LULL_URL=f"http://127.0.0.1:{port}", LULL_MODEL=model.stem,
                           LULL_BINARY=arguments.lull,
                           LULL_MAKE_TINY_MODEL=str(pathlib.Path(arguments.make_tiny_model).resolve()),
                           PYTHONPATH=f"{packages}:{client.parent}", PYTHONDONTWRITEBYTECODE="1")
        return subprocess.run([sys.executable, "-m", "unittest", "-v", client.stem, *arguments.rest],
                              env=environment, cwd=client.parent, check=False).returncode
    finally:
        if stop_server(server) != 0:
            print(f"the server ended with {server.returncode}:\n{server.stderr.read()}")


if __name__ == "__main__":
    sys.exit(main())
