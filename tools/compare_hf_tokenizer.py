#!/usr/bin/env python3
"""Compares the ids of converted folders with those of the tokenizers library from the folder's tokenizer.json.

  compare_hf_tokenizer.py --build build/release --vocabs FOLDER [--count N] [MODEL.gguf ...]

The tokenizer.json files are made as transformers makes them of a vocabulary: pieces with scores become BPE with byte
fallback, whose merges follow from the scores, with the steps before it that Llama, Mistral and Gemma folders have;
byte-level ones get the patterns of the models' own files. The vocabularies are llama.cpp's (--vocabs, its models folder)
and those of the given files. Each lies in a folder with a model of one layer, which `lull convert` writes as GGUF.
Strings: tools/compare_tokenizer.py's, valid UTF-8 alone. Exits 1 where an id differs, but for rows that say why.
"""
import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import unicodedata

import compare_safetensors
import compare_tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SPACE = "\u2581"
CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
LINES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTION + "|" + WORD + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + LINES
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = (CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + LINES)
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
BEFORE = r"[^\r\n\p{L}\p{N}]?"
GPT4O = (BEFORE + UPPER + "*" + LOWER + "+" + CONTRACTION + "?|" + BEFORE + UPPER + "+" + LOWER + "*" + CONTRACTION +
         r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + LINES)
TEKKEN = (BEFORE + UPPER + "*" + LOWER + "+|" + BEFORE + UPPER + "+" + LOWER +
          r"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + LINES)
DEEPSEEK3 = [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
             r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
             r""" ?[\p{P}\p{S}]+[\r\n]*|""" + LINES]


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def sequence(kind, steps):
    return {"type": "Sequence", kind: steps}


def by_patterns(*patterns):
    steps = [split(pattern) for pattern in patterns]
    return sequence("pretokenizers", steps + [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                                              "use_regex": False}])


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
PREPEND = {"type": "Prepend", "prepend": SPACE}
LEGACY = {"normalizer": sequence("normalizers", [PREPEND, REPLACE]), "pre_tokenizer": None}
METASPACE = {"normalizer": None, "pre_tokenizer": {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first",
                                                   "split": False}}
GEMMA = {"normalizer": REPLACE, "pre_tokenizer": {"type": "Split", "pattern": {"String": " "},
                                                  "behavior": "MergedWithPrevious", "invert": False}}
CASE = "GGUF's pre-tokenizer of that name knows no case beyond ASCII"
AFTER = "GGUF has a space too before a space at the beginning and behind special tokens"
MISSING = "bytes that the vocabulary lacks stay apart in GGUF"
NFC = "of strings in composed form (NFC), which GGUF does not make"
# Vocabulary, name, steps, ignore_merges, why ids may differ.
ROWS = [("llama-spm", "Llama 2, Mistral: Prepend", LEGACY, False, ""),
        ("llama-spm", "Llama 2, Mistral: Metaspace", METASPACE, False, AFTER),
        ("phi-3", "Phi 3", LEGACY, False, ""),
        ("gpt-2", "GPT-2", {"pre_tokenizer": BYTE_LEVEL}, False, ""),
        ("starcoder", "StarCoder, Granite 3", {"pre_tokenizer": sequence("pretokenizers", [
            {"type": "Digits", "individual_digits": True}, BYTE_LEVEL])}, False, MISSING),
        ("llama-bpe", "Llama 3", {"pre_tokenizer": by_patterns(LLAMA3)}, True, ""),
        ("qwen2", "Qwen 2, 3", {"normalizer": {"type": "NFC"}, "pre_tokenizer": by_patterns(QWEN2)}, False, ""),
        ("qwen35", "Qwen 3.5", {"normalizer": {"type": "NFC"}, "pre_tokenizer": by_patterns(QWEN35)}, False, ""),
        ("llama-bpe", "gpt-4o, gpt-oss, Llama 4", {"pre_tokenizer": by_patterns(GPT4O)}, False, CASE),
        ("llama-bpe", "Tekken", {"pre_tokenizer": by_patterns(TEKKEN)}, True, CASE),
        ("deepseek-llm", "DeepSeek V3", {"pre_tokenizer": by_patterns(*DEEPSEEK3)}, False, "")]


def read_vocabulary(path):
    import gguf
    fields = gguf.GGUFReader(path).fields
    def get(key):
        field = fields.get("tokenizer.ggml." + key)
        return field.contents() if field is not None else None
    return {key: get(key) for key in ("model", "tokens", "scores", "token_type", "merges", "bos_token_id", "eos_token_id",
                                      "add_bos_token")}


def merges_of_scores(vocab, scores):
    """As transformers: every way to part a piece in two pieces, the best piece first."""
    merges = []
    for text, score in scores.items():
        parts = [(text[:i], text[i:]) for i in range(1, len(text)) if text[:i] in vocab and text[i:] in vocab]
        merges += [(a, b, score) for a, b in sorted(parts, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))]
    merges.sort(key=lambda merge: (merge[2], len(merge[0]), len(merge[1])), reverse=True)
    return [[a, b] for a, b, _ in merges]


def tokenizer_json(source, steps, ignore_merges):
    tokens, types = source["tokens"], source["token_type"]
    pieces = source["model"] == "llama"
    vocab, added = {}, []
    for i, (text, kind) in enumerate(zip(tokens, types)):
        if kind != UNUSED or text not in vocab:
            vocab.setdefault(text, i)
        if kind in (CONTROL, UNKNOWN) or (kind == USER_DEFINED and text.strip(SPACE)):
            added.append({"id": i, "content": text, "special": kind != USER_DEFINED, "normalized": False, "lstrip": False,
                          "rstrip": False, "single_word": False})
    if pieces:
        scores = {text: score for text, score, kind in zip(tokens, source["scores"], types) if kind in (NORMAL, USER_DEFINED)}
        merges = merges_of_scores({text: i for text, i in vocab.items() if types[i] in (NORMAL, USER_DEFINED)}, scores)
    else:
        merges = [merge.split(" ") for merge in source["merges"]]
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>" if pieces else None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": pieces, "byte_fallback": pieces, "ignore_merges": ignore_merges,
             "vocab": vocab, "merges": merges}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "post_processor": None, "decoder": None, **steps, "model": model}


def write_folder(folder, source, steps, ignore_merges):
    """A Llama of one layer whose embedding has a row for every token."""
    vocab, width = len(source["tokens"]), 32
    config = {"model_type": "llama", "hidden_size": width, "intermediate_size": width, "num_hidden_layers": 1, "num_attention_heads": 1,
              "num_key_value_heads": 1, "head_dim": width, "vocab_size": vocab, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
              "tie_word_embeddings": True, "hidden_act": "silu", "bos_token_id": source["bos_token_id"],
              "eos_token_id": source["eos_token_id"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(source, steps, ignore_merges)))
    layer = "model.layers.0."
    shapes = {"model.embed_tokens.weight": [vocab, width], "model.norm.weight": [width], layer + "input_layernorm.weight": [width],
              layer + "post_attention_layernorm.weight": [width]}
    for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
                 "mlp.down_proj"):
        shapes[layer + name + ".weight"] = [width, width]
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


def compare(args, path, label, steps, ignore_merges, reason):
    import tokenizers
    source = read_vocabulary(path)
    generator = compare_tokenizer.Generator(args.seed, compare_tokenizer.special_texts(str(path)))
    strings = [text.decode(errors="replace") for text in (generator.string() for _ in range(args.count))]
    composed = (steps.get("normalizer") or {}).get("type") == "NFC"
    if composed:
        strings = [unicodedata.normalize("NFC", text) for text in strings]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "Tiny"
        folder.mkdir()
        write_folder(folder, source, steps, ignore_merges)
        gguf = pathlib.Path(name) / "tiny.gguf"
        converted = subprocess.run([args.build / "lull", "convert", folder, "--out", gguf], capture_output=True, text=True, check=False)
        if converted.returncode != 0:
            print(f"| {label} | 0 | - | {converted.stderr.strip()[-300:]} |", flush=True)
            return False
        library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        want = [tuple(encoding.ids) for encoding in library.encode_batch(strings, add_special_tokens=False)]
        data = compare_tokenizer.pack([text.encode() for text in strings])
        got = compare_tokenizer.unpack(compare_tokenizer.run(args.build / "tokenize_dump", gguf, [], data).stdout)
    wrong = [(text, a, b) for text, a, b in zip(strings, want, got) if a != b]
    print(f"| {label} | {len(strings)} | {len(wrong)} | {NFC if composed else reason if wrong else ''} |", flush=True)
    for text, a, b in wrong[:args.show]:
        print(f"  {text!r}\n    library {a}\n    lull    {b}")
    return len(got) == len(want) and (not wrong or bool(reason))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"), help="has lull and tokenize_dump")
    parser.add_argument("--vocabs", type=pathlib.Path, required=True, help="llama.cpp's models folder")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=0, help="differences to print")
    parser.add_argument("--only", default="")
    parser.add_argument("models", nargs="*", type=pathlib.Path, help="more vocabularies of pieces, as Gemma's")
    args = parser.parse_args()
    compare_safetensors.provide_packages()
    print("| tokenizer.json of | strings | different | |\n|---|---|---|---|")
    rows = [(args.vocabs / f"ggml-vocab-{vocab}.gguf", *row) for vocab, *row in ROWS]
    rows += [(path, f"{path.stem}: Gemma", GEMMA, False, "") for path in args.models]
    good = True
    for row in rows:
        if args.only in row[1]:
            good &= compare(args, *row)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
