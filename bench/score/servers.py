"""A server for one measurement: started, ready, stopped; Lull or llama.cpp's, plain or under a quota."""
import contextlib
import os
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
    """The process of a server that answers. cpus: of a quota it runs under; 0: none.

    meter.Failed where it does not come up; quota.Unavailable where no quota can be set.
    """
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context(quota.Group(cpus)).enter if cpus else None
        output = stack.enter_context(open(log, "ab"))
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=enter,
                                       env=environment)
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
        yield process


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

    def cpus(self, _):
        return 0.0  # it keeps its budget itself


class LlamaServer:
    """llama-server with so many threads, prefill threads equal; under a quota where the row has one."""

    def __init__(self, program, threads, flags=()):
        self._program, self._threads, self._flags = program, threads, list(flags)
        self.name = f"llama-server, {threads} thread{'s' if threads > 1 else ''}"

    def command(self, path, port, setting):
        slots = setting.get("slots", 1)
        return [self._program, "-m", path, "--host", "127.0.0.1", "--port", str(port), "-t", str(self._threads), "-tb",
                str(self._threads), "-np", str(slots), "-c", str(slots * setting.get("context", 1024)), *self._flags]

    def cpus(self, setting):
        return setting.get("quota", 0.0) * (os.cpu_count() or 1)


def optional_flags(program):
    """What spares memory and work, as far as this release has it: no page for the browser, no copies of prompts."""
    try:
        text = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    wanted = [("--no-webui", []), ("--cache-ram", ["0"]), ("--slots", None), ("--no-slots", [])]
    return [word for flag, values in wanted if values is not None and flag in text for word in (flag, *values)]
