"""A server for one measurement: started, ready, stopped; Lull or llama.cpp's, plain or under a quota."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))

import meter  # pylint: disable=wrong-import-position
import quota  # pylint: disable=wrong-import-position

START_S, STOP_S = 900, 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def running(command, port, log, cpus=0.0, environment=None):
    """The process of a server that answers, and the quota it runs under in words. cpus: of the quota; 0: none.

    meter.Failed where it does not come up; quota.Unavailable where no quota can be set.
    """
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(quota.Group(cpus)) if cpus else None
        output = stack.enter_context(open(log, "ab"))
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
                                       preexec_fn=group.enter if group else None)
        except OSError as error:
            raise meter.Failed(f"{command[0]}: {error.strerror}") from None
        stack.callback(stop, process)  # before the group is removed
        deadline = time.monotonic() + START_S
        while not is_ready(port):
            if process.poll() is not None:
                raise meter.Failed(f"{os.path.basename(command[0])} {meter.describe_exit(process.returncode)}; see {log}")
            if time.monotonic() > deadline:
                raise meter.Failed(f"{os.path.basename(command[0])} was not ready in {START_S} s")
            time.sleep(0.1)
        yield process, group.description if group else None


def stop(process):
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Lull:
    """lull serve, with the budget of the row."""
    name = "Lull"

    def __init__(self, binary):
        self._binary = binary

    def command(self, path, port, setting):
        return [self._binary, "serve", path, "--port", str(port), *setting.get("lull", [])]

    def prepare(self, path):
        """As the README has it: the weights are packed once, before the first start. The command, for the record."""
        command = [self._binary, "pack", path]
        meter.run_child(command)
        read_through(path + ".pack")
        return shown(command)

    def cpus(self, _):
        return 0.0  # it keeps its budget itself


class LlamaServer:
    """llama-server with so many threads, prefill threads equal; under a quota where the row has one."""

    def __init__(self, program, threads, flags=()):
        self._program, self._threads, self._flags = program, threads, list(flags)
        self._cold = supported(program, COLD)
        self.name = f"llama-server, {threads} thread{'s' if threads > 1 else ''}"

    def command(self, path, port, setting):
        slots = setting.get("slots", 1)
        return [self._program, "-m", path, "--host", "127.0.0.1", "--port", str(port), "-t", str(self._threads), "-tb",
                str(self._threads), "-np", str(slots), "-c", str(slots * setting.get("context", 1024)), *self._flags,
                *(self._cold if setting.get("cold") else [])]

    def prepare(self, path):
        read_through(path)

    def cpus(self, setting):
        return setting.get("quota", 0.0) * (os.cpu_count() or 1)


# No page for the browser, no account of the slots, no copies of prompts kept aside: memory and work that no row asks for.
SPARING = (("--no-ui",), ("--cache-ram", "0"), ("--no-slots",))
COLD = (("--no-cache-prompt",),)


def read_through(path):
    """Into the system's page cache, so that no run measures the disk."""
    if os.path.exists(path):
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def supported(program, options):
    """The words of those options that this release has."""
    try:
        text = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    known = set(re.findall(r"--[a-z][a-z-]*", text))
    return [word for option in options if option[0] in known for word in option]


def shown(command):
    """A command for the record: programs and models by name, not by where they lie."""
    return " ".join(os.path.basename(word) if os.sep in word else word for word in command)
