#!/usr/bin/env python3
"""Judges a store of models from outside: docs/design/store.md.

    verify_store.py FOLDER    prints what is wrong, one line each, and exits 1 where anything is
"""
import hashlib
import json
import os
import pathlib
import sys


def key_of(data, key):
    if key.startswith("sha256-"):
        return "sha256-" + hashlib.sha256(data).hexdigest()
    return "gitsha1-" + hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def names(folder):
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def read_manifest(path):
    text = path.read_text()
    manifest = json.loads(text)
    if manifest["format"] != 1 or not manifest["files"] or not text.endswith("}\n"):
        raise ValueError("incomplete")
    return manifest


def problems(folder, known=None):
    """Lines; known: keys of blobs that were right at (size, time) before, which saves hashing them."""
    folder, found = pathlib.Path(folder), []
    blobs = {n for n in names(folder / "blobs") if not n.endswith(".partial")}
    for blob in sorted(blobs):
        path = folder / "blobs" / blob
        try:
            status = path.stat()
            mark = (blob, status.st_size, status.st_mtime_ns, status.st_ino)
            if known is not None and mark in known:
                continue
            if key_of(path.read_bytes(), blob) != blob:
                found.append(f"blob {blob} has other bytes")
            elif known is not None:
                known.add(mark)
        except FileNotFoundError:
            pass  # removed meanwhile
    for name in names(folder / "manifests"):
        if not name.endswith(".json"):
            continue
        try:
            manifest = read_manifest(folder / "manifests" / name)
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError) as error:
            found.append(f"manifest {name}: {error}")
            continue
        for file in manifest["files"]:
            path = folder / "blobs" / file["key"]
            if not path.exists() or path.stat().st_size != file["bytes"]:
                if (folder / "manifests" / name).exists():
                    found.append(f"{manifest['name']}: its blob {file['key']} is missing or of another size")
    return found


def main(arguments):
    found = problems(arguments[0])
    print("\n".join(found) if found else "sound")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
