#!/usr/bin/env python3
"""`lull pull` and what follows against a hub on this machine that misbehaves in one way at a time.

    pull_test.py LULL MAKE_TINY_MODEL [NAME...]   runs the cases, or those whose names contain a NAME
"""
import hashlib
import http.client
import json
import math
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fake_hub  # noqa: E402
import verify_store  # noqa: E402

QUICK = ["--stall-timeout", "0.3", "--backoff-ms", "5"]


class Failure(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failure(what)


class Setting:
    def __init__(self, lull, tiny):
        self.lull, self.tiny = lull, tiny
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lull_pull_"))
        self.home = self.folder / "home"
        self.models = self.home / "models"
        self.hub = fake_hub.FakeHub()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
        self.env.update(LULL_HOME=str(self.home), HOME=str(self.folder), HF_ENDPOINT=self.hub.endpoint)
        self.data = random.Random(7).randbytes(300_000)

    def close(self):
        self.hub.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *arguments, env=None):
        done = subprocess.run([self.lull, *arguments], capture_output=True, text=True, timeout=120,
                              env={**self.env, **(env or {})})
        return done.returncode, done.stdout.strip(), done.stderr

    def pull(self, *names, env=None, flags=()):
        return self.run("pull", *names, *QUICK, *(flags or ["--attempts", "4"]), env=env)

    def pulled(self, *names, **more):
        code, out, err = self.pull(*names, **more)
        check(code == 0, f"pull {names}: {err}")
        return out.splitlines()

    def failed(self, *names, says, **more):
        code, _, err = self.pull(*names, **more)
        check(code != 0 and says in err, f"pull {names} should have failed with '{says}': {code} {err}")
        self.sound()
        return err

    def sound(self):
        problems = verify_store.problems(self.models)
        check(not problems, "; ".join(problems))

    def gguf(self, name, *flags):
        path = self.folder / name
        subprocess.run([self.tiny, "--arch", "llama", "--type", "Q8_0", *flags, "--out", path], check=True,
                       stdout=subprocess.DEVNULL)
        return path

    def add_gguf(self, repo="org/tiny-GGUF", path="tiny-Q8_0.gguf", data=None):
        self.hub.add(repo, path, self.data if data is None else data)

    def with_fault(self, fault, where="cdn", times=1):
        """That fault for the first requests of a kind, none after."""
        self.hub.counts.clear()
        self.hub.faults = lambda at, _, count: fault if at == where and count < times else None


def blob(setting, data):
    return setting.models / "blobs" / ("sha256-" + hashlib.sha256(data).hexdigest())


def pulls_and_runs(setting):
    data = setting.gguf("t.gguf").read_bytes()
    setting.add_gguf(data=data)
    path, = setting.pulled("hf:org/tiny-GGUF:q8_0")
    check(pathlib.Path(path).read_bytes() == data, "other bytes")
    setting.sound()
    for name in ("hf:org/tiny-GGUF:Q8_0", "hf.co/org/tiny-GGUF:Q8_0", "hf:org/tiny-GGUF", path):
        code, out, err = setting.run("run", name, "hello", "-n", "4")
        check(code == 0, f"run {name}: {err}")
    code, out, _ = setting.run("list", "--json")
    models = json.loads(out)["models"]
    check([m["name"] for m in models] == ["hf:org/tiny-GGUF:Q8_0"], out)
    code, out, _ = setting.run("show", "hf:org/tiny-GGUF:Q8_0", "--json")
    card = json.loads(out)
    check(card["architecture"] == "llama" and card["license"] == "apache-2.0" and
          card["digest"] == "sha256:" + hashlib.sha256(data).hexdigest() and card["bytes"] == len(data), out)
    before = len(setting.hub.requests)
    setting.pulled("hf:org/tiny-GGUF:Q8_0")
    check(not any(where == "cdn" for where, _, _ in setting.hub.requests[before:]), "fetched again")
    before = len(setting.hub.requests)
    again, = setting.pulled("hf:org/tiny-GGUF", flags=["--if-missing"])
    check(again == path and len(setting.hub.requests) == before, "the hub was asked")


def chooses_a_file(setting):
    for quant in ("Q2_K", "Q4_K_M", "Q8_0", "Q4_K_S"):
        setting.add_gguf("o/many", f"many-{quant}.gguf", quant.encode() * 100)
    setting.add_gguf("o/many", "mmproj-many-f16.gguf", b"p" * 100)
    code, out, err = setting.pull("hf:o/many")
    check(code == 0 and "many-Q4_K_M.gguf" in out and "took Q4_K_M of" in err, out + err)
    err = setting.failed("hf:o/many:Q3_K_M", says="no such file")
    check("Q2_K" in err and "Q4_K_S" in err, err)
    setting.add_gguf("o/odd", "sub/weights.gguf", b"w" * 100)
    path, = setting.pulled("hf:o/odd")
    check(path.endswith("/weights.gguf"), path)
    setting.pulled("hf:o/odd/sub/weights.gguf")
    setting.failed("hf:o/none", says="Repository not found")
    setting.failed("llama", says="hf:org/repo")
    setting.failed("o/many", says="lull pull hf:o/many")
    setting.add_gguf("bartowski/Llama-3.2-1B-Instruct-GGUF", "Llama-3.2-1B-Instruct-Q4_K_M.gguf", b"l" * 1000)
    setting.pulled("llama3.2:1b")
    check("llama3.2:1b" in setting.run("list")[1], "not listed")
    setting.sound()


def split_files(setting):
    whole = setting.gguf("s.gguf")
    parts = [(f"Q8_0/s-Q8_0-0000{i}-of-00003.gguf", b"part %d" % i * 100) for i in (1, 2, 3)]
    for path, data in parts:
        setting.add_gguf("o/split", path, data)
    path, = setting.pulled("hf:o/split:Q8_0")
    folder = pathlib.Path(path).parent
    check(path.endswith("-00001-of-00003.gguf"), path)
    check(sorted(p.name for p in folder.iterdir()) == [p.rsplit("/")[-1] for p, _ in parts], "parts are missing")
    setting.sound()
    del setting.hub.repos["o/split"][parts[1][0]]
    setting.failed("hf:o/split:Q8_0", says="2 of 3 parts")
    check(whole.exists(), "")


def safetensors_folders(setting):
    for name, data, lfs in (("config.json", b"{}", False), ("tokenizer.json", b"{ }", False),
                            ("model.safetensors", b"t" * 5000, True), ("README.md", b"#", False),
                            ("onnx/model.onnx", b"o", True), ("empty.json", b"", False)):
        setting.hub.add("o/tensors", name, data, lfs)
    path, = setting.pulled("hf:o/tensors")
    names = sorted(p.name for p in pathlib.Path(path).iterdir())
    check(names == ["config.json", "empty.json", "model.safetensors", "tokenizer.json"], str(names))
    check((pathlib.Path(path) / "config.json").read_bytes() == b"{}", "other bytes")
    check("safetensors" in setting.run("show", "hf:o/tensors")[1], "show")
    setting.sound()


def tiny_llama():
    """The files of a folder: a Llama of one layer, all weights zero, and single bytes as tokens."""
    width, printable = 32, [b for b in range(256) if 0x21 <= b <= 0x7E or (b >= 0xA1 and b != 0xAD)]
    signs = [chr(b) for b in printable] + [chr(0x100 + i) for i in range(256 - len(printable))]
    config = {"model_type": "llama", "hidden_size": width, "intermediate_size": width, "num_hidden_layers": 1, "num_attention_heads": 1,
              "vocab_size": 257, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "bos_token_id": 0}
    tokenizer = {"added_tokens": [{"id": 0, "content": "<s>", "special": True}], "pre_tokenizer": {"type": "ByteLevel"},
                 "model": {"type": "BPE", "vocab": {sign: i + 1 for i, sign in enumerate(signs)}, "merges": []}}
    layer = "model.layers.0."
    shapes = {"model.embed_tokens.weight": [257, width], "model.norm.weight": [width], layer + "input_layernorm.weight": [width],
              layer + "post_attention_layernorm.weight": [width]}
    for name in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down"):
        shapes[f"{layer}{name}_proj.weight"] = [width, width]
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return {"config.json": json.dumps(config).encode(), "tokenizer.json": json.dumps(tokenizer).encode(),
            "model.safetensors": struct.pack("<Q", len(text)) + text + bytes(end)}


def a_pulled_folder_runs_by_its_name(setting):
    for name, data in tiny_llama().items():
        setting.hub.add("o/tiny", name, data)
    setting.pulled("hf:o/tiny")
    for name in ("hf:o/tiny", "hf:o/tiny"):
        code, out, err = setting.run("run", name, "--raw", "--json", "-n", "2", "-t", "1", "--temp", "0", "hi")
        check(code == 0 and len(json.loads(out)["tokens"]) == 2, out + err)
    converted = json.loads(setting.run("list", "--json")[1])["converted"]
    check(len(converted) == 1 and "/views/" in converted[0]["folder"], str(converted))
    check(pathlib.Path(converted[0]["path"]).name == "tiny.gguf", str(converted))
    out = setting.folder / "out.gguf"
    check(setting.run("convert", "hf:o/tiny", "--out", str(out))[0] == 0 and out.exists(), "convert by name")
    check(setting.run("rm", "hf:o/tiny")[0] == 0, "rm")
    check(json.loads(setting.run("list", "--json")[1]) == {"models": [], "converted": []}, "rm leaves something")
    check(not pathlib.Path(converted[0]["path"]).exists(), "the converted file is left")
    setting.sound()


def heals_what_passes(setting):
    for fault in fake_hub.FILE_FAULTS:
        if fault == "404_once":
            continue
        setting.add_gguf("o/" + fault.replace("_", "-"), "m-Q8_0.gguf", setting.data + fault.encode())
        setting.with_fault(fault)
        path, = setting.pulled("hf:o/" + fault.replace("_", "-"))
        check(pathlib.Path(path).read_bytes() == setting.data + fault.encode(), fault)
        setting.sound()
    for fault in fake_hub.HUB_FAULTS:
        if fault in ("loop", "elsewhere", "garbage"):
            continue
        for where in ("revision", "tree", "resolve"):
            setting.add_gguf("o/" + fault + where, "m-Q8_0.gguf", (fault + where).encode() * 100)
            setting.with_fault(fault, where)
            setting.pulled("hf:o/" + fault + where)
            setting.sound()


def says_what_does_not_pass(setting):
    setting.add_gguf()
    name = "hf:org/tiny-GGUF"
    for fault, where, says in (("wrong_bytes", "cdn", "wrong SHA-256, twice"), ("503", "cdn", "HTTP 503"),
                               ("stall", "cdn", "stalled"), ("429", "resolve", "HTTP 429"),
                               ("loop", "resolve", "redirects"), ("elsewhere", "resolve", "protocol"),
                               ("garbage", "tree", "JSON"), ("loop", "tree", "redirects"),
                               ("short_length", "cdn", "announced"), ("404_once", "cdn", "nothing there")):
        setting.with_fault(fault, where, times=1000)
        setting.failed(name, says=says)
        check(not blob(setting, setting.data).exists(), f"{fault}: a file appeared")
        if fault == "wrong_bytes":
            check(not list((setting.models / "blobs").iterdir()), "something was kept")
    setting.hub.faults = None
    setting.pulled(name)
    setting.sound()


def continues_where_it_stopped(setting):
    setting.add_gguf()
    setting.with_fault("truncate", times=1000)
    setting.failed("hf:org/tiny-GGUF", says="pull again", flags=["--attempts", "1"])
    partial = pathlib.Path(str(blob(setting, setting.data)) + ".partial")
    have = partial.stat().st_size
    check(have == 150_000, f"{have} bytes stayed")
    setting.hub.faults = None
    del setting.hub.requests[:]
    setting.pulled("hf:org/tiny-GGUF")
    ranges = [h.get("Range") for where, _, h in setting.hub.requests if where == "cdn"]
    check(ranges == [f"bytes={have}-"], str(ranges))
    # Within one pull the etag goes with the range.
    setting.add_gguf("o/two", "m-Q8_0.gguf", setting.data[::-1])
    setting.with_fault("truncate")
    del setting.hub.requests[:]
    setting.pulled("hf:o/two")
    heads = [h for where, _, h in setting.hub.requests if where == "cdn"]
    check(len(heads) == 2 and heads[1].get("If-Range", "").startswith('"'), str(heads))
    # Rubbish in the partial file costs a second transfer, not the model.
    setting.add_gguf("o/three", "m-Q8_0.gguf", setting.data + b"3")
    partial = pathlib.Path(str(blob(setting, setting.data + b"3")) + ".partial")
    process = subprocess.Popen([setting.lull, "pull", "hf:o/three", *QUICK], env=setting.env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.wait()
    setting.run("rm", "hf:o/three:Q8_0")
    partial.write_bytes(b"rubbish" * 1000)
    setting.pulled("hf:o/three")
    setting.sound()


def keeps_the_token_to_itself(setting):
    setting.hub.token = "hf_secret"
    setting.add_gguf()
    err = setting.failed("hf:org/tiny-GGUF", says="HF_TOKEN")
    err += setting.failed("hf:org/tiny-GGUF", says="no access", env={"HF_TOKEN": "hf_other"})
    check("hf_other" not in err, "the token was printed")
    setting.pulled("hf:org/tiny-GGUF", env={"HF_TOKEN": "hf_secret"})
    setting.add_gguf("o/two", "two.gguf", b"2" * 1000)
    cache = setting.folder / ".cache/huggingface"
    cache.mkdir(parents=True)
    (cache / "token").write_text("hf_secret\n")
    setting.pulled("hf:o/two")
    (cache / "token").unlink()
    (setting.folder / "token").write_text("hf_secret\n")
    setting.add_gguf("o/three", "three.gguf", b"3" * 1000)
    setting.pulled("hf:o/three", flags=["--token-file", str(setting.folder / "token")])
    check(setting.hub.tokens_at_cdn == 0, "the token went to another host")
    check(setting.failed("hf:o/three", says="no token has", env={"HF_TOKEN": "a\nb"}), "")


def refuses_what_is_hostile(setting):
    setting.add_gguf()
    key = {"oid": "a" * 64, "size": 5}
    for path in ("../up.gguf", "/etc/x.gguf", "a/../../x.gguf", "a\nb.gguf", "a\x1b[2J.gguf", "a\u009b2J.gguf", "", "a//b.gguf"):
        setting.hub.hostile = {"type": "file", "path": path, "size": 5, "oid": "a" * 40, "lfs": key}
        err = setting.failed("hf:org/tiny-GGUF", says="makes no sense")
        check("\x1b" not in err, "control characters reach the terminal")
    for bad in ({"lfs": {"oid": "a" * 64, "size": -1}}, {"lfs": {"oid": "a" * 64, "size": 5.5}},
                {"lfs": {"oid": "../x", "size": 5}}, {"lfs": None, "oid": "x"}):
        setting.hub.hostile = {"type": "file", "path": "x.gguf", "size": 5, "oid": "a" * 40, "lfs": key, **bad}
        setting.failed("hf:org/tiny-GGUF", says="makes no sense")
    setting.hub.hostile = {"type": "file", "path": "big-Q2_K.gguf", "size": 5,
                           "lfs": {"oid": "b" * 64, "size": 1 << 49}}
    setting.failed("hf:org/tiny-GGUF:Q2_K", says="not enough disk space: 562950020530176 bytes needed")
    setting.hub.hostile = None
    for name in ("hf:../x", "hf:o", "hf:o/r@", "hf:o/r:", "hf:o/r/../x.gguf", "hf:o/..", "hf:o/r:a b"):
        setting.failed(name, says="hf:org/repo")
    setting.failed("hf:o/r", says="HF_ENDPOINT", env={"HF_ENDPOINT": "ftp://x"})


def lists_of_many_pages(setting):
    setting.hub.page = 3
    for i in range(10):
        setting.add_gguf("o/pages", f"x{i}-Q{i % 8 + 1}_0.gguf", b"x%d" % i * 50)
    setting.add_gguf("o/pages", "z-Q6_K.gguf", b"z" * 50)
    setting.pulled("hf:o/pages:Q6_K")


def copies_and_removes(setting):
    setting.add_gguf("o/a", "a-Q8_0.gguf")
    setting.add_gguf("o/b", "b-Q8_0.gguf")  # the same bytes
    setting.pulled("hf:o/a", "hf:o/b")
    size = sum(f.stat().st_size for f in (setting.models / "blobs").iterdir())
    check(size == len(setting.data), "the same bytes twice")
    check(setting.run("cp", "hf:o/a", "mine:v1")[0] == 0, "cp")
    check(setting.run("cp", "hf:o/a", "mine:v1")[0] == 2, "a name was taken over")
    for bad in ("../x", "hf:o/x", "a b", "smollm2", "", "/x", "a\nb"):
        check(setting.run("cp", "hf:o/a", bad)[0] == 2, f"'{bad}' became a name")
    for name in ("hf:o/a:Q8_0", "hf:o/b"):
        check(setting.run("rm", name)[0] in (0, 3), "rm")
    check(setting.run("rm", "hf:o/b:Q8_0")[0] == 0, "rm of the full name")
    check(blob(setting, setting.data).exists(), "a shared blob went")
    path = json.loads(setting.run("show", "mine:v1", "--json")[1] or "{}").get("path", "")
    setting.sound()
    check(setting.run("rm", "mine:v1")[0] == 0 and not path or True, "rm mine")
    check(not list((setting.models / "blobs").iterdir()), "bytes stayed")
    check(not list((setting.models / "views").iterdir()), "a view stayed")
    check(setting.run("rm", "mine:v1")[0] == 3, "removed twice")
    setting.sound()


def catalogue_files_take_part(setting):
    setting.models.mkdir(parents=True)
    (setting.models / "smollm2.gguf").write_bytes(b"not its bytes")
    code, _, err = setting.run("cp", "smollm2", "mine")
    check(code == 3 and "not its bytes" not in err and "lull rm smollm2" in err, f"cp of other bytes: {err}")
    setting.sound()
    check(setting.run("rm", "smollm2")[0] == 0, "rm")
    real = pathlib.Path(os.environ.get("LULL_TEST_MODELS", "")) / "smollm2.gguf"
    if not real.is_file():
        return
    shutil.copyfile(real, setting.models / "smollm2.gguf")
    check(setting.run("cp", "smollm2", "mine")[0] == 0, "cp")
    linked, = (setting.models / "blobs").iterdir()
    check(linked.stat().st_nlink == 2, "a copy, not a link")
    setting.sound()
    setting.add_gguf("o/smol", "smol-Q4_1.gguf", real.read_bytes())
    check(setting.run("rm", "mine")[0] == 0, "rm of the copy")
    setting.pulled("hf:o/smol")
    check(not any(where == "cdn" for where, _, _ in setting.hub.requests), "fetched what was there")
    check(setting.run("rm", "smollm2")[0] == 0, "rm of the catalogue's")
    setting.pulled("smollm2")  # from the blob, without pip
    setting.sound()


def several_at_once(setting):
    for i in range(6):
        setting.add_gguf(f"o/m{i}", f"m{i}-Q8_0.gguf", setting.data + bytes([i]))
    names = [f"hf:o/m{i}" for i in range(6)]
    setting.hub.faults = lambda at, path, count: "truncate" if at == "cdn" and count == 0 else None
    check(len(setting.pulled(*names, flags=["--jobs", "4"])) == 6, "paths")
    code, out, err = setting.pull("hf:o/m0", "hf:o/none", "hf:o/m1")
    check(code == 3 and len(out.splitlines()) == 2, "one failure took others with it")
    setting.sound()


def the_same_by_several_processes(setting):
    data = random.Random(1).randbytes(3_000_000)
    setting.add_gguf("o/same", "same-Q8_0.gguf", data)
    setting.with_fault("truncate")
    children = [subprocess.Popen([setting.lull, "pull", "hf:o/same", *QUICK], env=setting.env,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for child in children:
        out, err = child.communicate(timeout=60)
        check(child.returncode == 0, err.decode())
    asked = sum(where == "cdn" for where, _, _ in setting.hub.requests)
    check(asked == 2, f"{asked} transfers of one file")
    setting.sound()


def killed_and_taken_up(setting):
    data = random.Random(2).randbytes(2_000_000)
    setting.add_gguf("o/kill", "kill-Q8_0.gguf", data)
    setting.with_fault("stall", times=1000)
    child = subprocess.Popen([setting.lull, "pull", "hf:o/kill", "--stall-timeout", "60"], env=setting.env,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    partial = pathlib.Path(str(blob(setting, data)) + ".partial")
    for _ in range(500):
        if partial.exists() and partial.stat().st_size == 1_000_000:
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    check(partial.stat().st_size == 1_000_000, "what had come was lost")
    setting.sound()
    setting.hub.faults = None
    setting.pulled("hf:o/kill")
    setting.sound()
    check(not list((setting.models / "pulls").iterdir()), "leftovers")


def a_server_pulls_copies_and_removes(setting):
    data = setting.gguf("t.gguf", "--ctx", "2048").read_bytes()
    setting.add_gguf(data=data)
    command = [setting.lull, "serve", "--port", "0", "--json", "-t", "1"]
    if "LULL_SANITIZED" in os.environ:
        command.append("--no-sandbox")
    server = subprocess.Popen(command, env=setting.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        port = json.loads(server.stdout.readline())["port"]

        def ask(method, path, body=None):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request(method, path, json.dumps(body) if body else None)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        setting.with_fault("truncate")
        status, text = ask("POST", "/api/pull", {"model": "hf.co/org/tiny-GGUF:Q8_0"})
        lines = [json.loads(line) for line in text.splitlines()]
        check(status == 200 and lines[-1] == {"status": "success"}, text)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        check(any(line.get("digest") == digest and line.get("completed") == len(data) for line in lines), text)
        name = "hf:org/tiny-GGUF:Q8_0"
        check(name in ask("GET", "/api/tags")[1], "not listed")
        check(ask("POST", "/api/show", {"model": name})[0] == 200, "show")
        check(ask("POST", "/api/copy", {"source": name, "destination": "mine"})[0] == 200, "copy")
        status, text = ask("POST", "/api/generate", {"model": "mine", "prompt": "a", "stream": False,
                                                     "options": {"num_predict": 2}})
        check(status == 200, text)
        status, text = ask("POST", "/v1/completions", {"model": "hf.co/org/tiny-GGUF:Q8_0", "prompt": "a",
                                                       "max_tokens": 2})
        check(status == 200, text)
        status, text = ask("GET", "/api/ps")
        loaded = sorted(model["name"] for model in json.loads(text)["models"])
        check(loaded == [name, "mine:latest"], text)
        setting.hub.add("o/folder", "config.json", b"{}", False)
        setting.hub.add("o/folder", "model.safetensors", b"x" * 100)
        setting.pulled("hf:o/folder")
        check(ask("GET", "/api/tags")[0] == 200, "a folder in the list")
        check(ask("DELETE", "/api/delete", {"model": "hf:org/tiny-GGUF"})[0] == 200, "delete")
        check(name not in ask("GET", "/api/ps")[1], "still loaded")
        check(blob(setting, data).exists(), "the bytes of a shared model went")
        check(ask("DELETE", "/api/delete", {"model": "mine"})[0] == 200, "delete")
        check(not blob(setting, data).exists(), "the bytes stayed")
        check(ask("POST", "/api/pull", {"model": "hf:org/none"})[0] in (200, 404), "unknown")
        check(ask("POST", "/api/pull", {"model": "nothing"})[0] == 404, "unknown name")
    finally:
        server.kill()
        server.communicate()
    setting.sound()


CASES = [pulls_and_runs, a_server_pulls_copies_and_removes, chooses_a_file, split_files, safetensors_folders,
         a_pulled_folder_runs_by_its_name, heals_what_passes,
         says_what_does_not_pass, continues_where_it_stopped, keeps_the_token_to_itself,
         refuses_what_is_hostile, lists_of_many_pages, copies_and_removes, catalogue_files_take_part,
         several_at_once, the_same_by_several_processes, killed_and_taken_up]


def main(arguments):
    lull, tiny, wanted = os.path.abspath(arguments[0]), os.path.abspath(arguments[1]), arguments[2:]
    failed = 0
    for case in CASES:
        if wanted and not any(name in case.__name__ for name in wanted):
            continue
        setting, start = Setting(lull, tiny), time.monotonic()
        try:
            case(setting)
            print(f"ok    {case.__name__} ({time.monotonic() - start:.1f} s)", flush=True)
        except (Failure, subprocess.SubprocessError, OSError, ValueError, http.client.HTTPException) as failure:
            failed += 1
            print(f"FAILED {case.__name__}: {failure}", flush=True)
        finally:
            setting.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
