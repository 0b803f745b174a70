"""The files the rows run on: pulled ones, requantized ones, and random weights in real shapes.

A file is made once, in a folder that is kept; what is missing for it is an Unavailable with the reason.
"""
import hashlib
import os
import shutil
import subprocess

import meter

REQUANTIZED = {"smollm2-q4_0": ("smollm2", "Q4_0"), "smollm2-q5_0": ("smollm2", "Q5_0"),
               "smollm2-q8_0": ("smollm2", "Q8_0")}
# name: (shape, type, about so many bytes)
SHAPES = {"1b-shape-q4_k_m": ("llama-3.2-1b", "Q4_K_M", 0.9e9), "1b-shape-q6_k": ("llama-3.2-1b", "Q6_K", 1.1e9),
          "7b-shape-q4_k_m": ("mistral-7b", "Q4_K_M", 4.5e9), "lfm2-8b-a1b-shape": ("lfm2-8b-a1b", "Q4_K_M", 5.1e9)}
SPARE_BYTES = 2e9


class Unavailable(Exception):
    """Why a row's file cannot be had here."""


class Models:
    def __init__(self, folder, real, quantize=None, make_model=None):
        self._folder, self._real, self._quantize, self._make_model = folder, dict(real), quantize, make_model
        os.makedirs(folder, exist_ok=True)

    @staticmethod
    def has_random_weights(name):
        return name in SHAPES

    def path(self, name):
        if name in self._real:
            return self._real[name]
        path = os.path.join(self._folder, name + ".gguf")
        if os.path.exists(path):
            return path
        if name in REQUANTIZED:
            self._requantize(name, path)
        elif name in SHAPES:
            self._write_shape(name, path)
        else:
            raise Unavailable(f"no such model: {name}")
        return path

    def _requantize(self, name, path):
        source, kind = REQUANTIZED[name]
        if not self._quantize or not os.path.exists(self._quantize):
            raise Unavailable("needs llama-quantize (tools/build_llama_cpp.sh --fastest)")
        if source not in self._real:
            raise Unavailable(f"needs the model {source}")
        self._make(path, [self._quantize, "--allow-requantize", self._real[source], path + ".partial", kind])

    def _write_shape(self, name, path):
        shape, kind, size_bytes = SHAPES[name]
        if not self._make_model or not os.path.exists(self._make_model):
            raise Unavailable("needs tools/make_model, which this build does not have")
        free = shutil.disk_usage(self._folder).free
        if free < size_bytes + SPARE_BYTES:
            raise Unavailable(f"needs {(size_bytes + SPARE_BYTES) / 1e9:.1f} GB of disk, {free / 1e9:.1f} are free "
                              f"in {self._folder}")
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if memory < 2 * size_bytes:
            raise Unavailable(f"needs {2 * size_bytes / 1e9:.1f} GB of memory, there are {memory / 1e9:.1f}")
        self._make(path, [self._make_model, shape, kind, path + ".partial"])

    @staticmethod
    def _make(path, command):
        try:
            meter.run_child(command, timeout_s=3600)
            os.replace(path + ".partial", path)
        except (meter.Failed, OSError) as error:
            if os.path.exists(path + ".partial"):
                os.remove(path + ".partial")
            raise Unavailable(str(error)) from None


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def version_of(command):
    """First line that a program says of itself, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next((line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), "")
