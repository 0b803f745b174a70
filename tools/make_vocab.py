#!/usr/bin/env python3
"""Writes small vocabulary files for which no model is needed: what the tokenizers of a kind have in common, made up.

    tools/make_vocab.py tekken|unigram|wordpiece OUT.gguf [--pre NAME]

tekken    byte-level pairs whose merges follow from the ranks of the tokens, special tokens first
unigram   scored pieces, user-defined ones, a normalization map
wordpiece word beginnings and continuations
The same file every time. Needs the Python package gguf.
"""
import argparse
import collections
import os
import re
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare_tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5
SPACE = "\u2581"
MAP = {"\ufb01": "fi", "\uff21": "A", "\u00a0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\u2460": "1", "\u33a7": "m/s",
       "A\u030a": "\u00c5", "\u00bd": "1\u20442", "\u00df": "ss", "\u200b": "", "\u2026": "...", "\ufdfa": "\u0635\u0644\u0649 " * 4}


def corpus():
    """Words as a byte-level pre-tokenizer leaves them, with their counts."""
    generator = compare_tokenizer.Generator(7, [])
    generator.kinds = [generator.words] * 6 + [generator.code, generator.digits, generator.marks, generator.contraction,
                                               generator.script, generator.space]
    counts = collections.Counter()
    for _ in range(1500):
        text = generator.string().decode(errors="replace")
        counts.update(re.findall(r" ?\w+| ?[^\w\s]+|\s+", text))
    return counts


def byte_alphabet():
    printable = [b for b in range(256) if 0x21 <= b <= 0x7E or (b >= 0xA1 and b != 0xAD)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(0x100 + i) for i, b in enumerate(others)}}


def train_pairs(merges):
    """Byte pairs by frequency: the new tokens in order, as bytes, and the two parts of each."""
    words = {tuple(bytes([b]) for b in word.encode()): count for word, count in corpus().items()}
    learned = []
    for _ in range(merges):
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        learned.append(best)
        joined = {}
        for word, count in words.items():
            out, i = [], 0
            while i < len(word):
                if word[i:i + 2] == best:
                    out.append(word[i] + word[i + 1])
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            joined[tuple(out)] = joined.get(tuple(out), 0) + count
        words = joined
    return learned


def tekken(writer, pre):
    alphabet = byte_alphabet()
    text = lambda data: "".join(alphabet[b] for b in data)
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
               "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[ARGS]", "[THINK]", "[/THINK]"]
    special += [f"<SPECIAL_{i}>" for i in range(len(special), 32)]
    learned = train_pairs(600)
    # Rank orders them: single bytes, then pairs. Some words are tokens that no merges lead to.
    tokens = special + [text(bytes([b])) for b in range(256)]
    merges = []
    for left, right in learned:
        merges.append(text(left) + " " + text(right))
        if text(left + right) not in tokens:
            tokens.append(text(left + right))
    tokens += [word for word in (text(w.encode()) for w in ("McDonald", " iPhone", "12", "\n\n\n", " 漢字")) if word not in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre or "tekken")
    writer.add_token_list(tokens)
    writer.add_token_types([UNKNOWN] + [CONTROL] * (len(special) - 1) + [NORMAL] * (len(tokens) - len(special)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def place(siblings, used, size):
    """An offset that puts every label of siblings on a free place, the tree's own way: offset ^ label."""
    offset = 256
    while True:
        if offset not in used["offsets"] and all((offset ^ label) not in used["places"] for label in siblings):
            return offset
        offset += 1 if offset < size else 256


def character_map(rows):
    """tokenizer.ggml.precompiled_charsmap of the rows: src/tokenizer/character_map.h has the layout."""
    replacements, starts = b"", {}
    for source, target in rows.items():
        starts[source.encode()] = len(replacements)
        replacements += target.encode() + b"\0"
    children = collections.defaultdict(set)
    for key in starts:
        for i in range(len(key)):
            children[key[:i]].add(key[i])
    nodes, used, todo = {}, {"offsets": set(), "places": {0}}, [(b"", 0)]
    while todo:
        prefix, at = todo.pop(0)
        labels = sorted(children[prefix]) + ([0] if prefix in starts else [])
        offset = place(labels, used, 4096)
        used["offsets"].add(offset)
        # The child of byte c is at `at ^ offset ^ c`; the root's children are at `offset ^ c`.
        base = at ^ offset
        nodes[at] = base << 10 | (0x100 if prefix in starts else 0) | (prefix[-1] if prefix else 0)
        for label in labels:
            child = offset ^ label
            used["places"].add(child)
            if label == 0:
                nodes[child] = 1 << 31 | starts[prefix]
            else:
                todo.append((prefix + bytes([label]), child))
    tree = [nodes.get(i, 0xFF) for i in range(max(nodes) + 256)]
    return struct.pack(f"<I{len(tree)}I", 4 * len(tree), *tree) + replacements


def unigram(writer, _pre):
    pieces = {}
    words = corpus()
    for word, count in sorted(words.items()):
        word = SPACE + word.strip()
        for begin in range(len(word)):
            for end in range(begin + 1, min(len(word), begin + 8) + 1):
                pieces[word[begin:end]] = pieces.get(word[begin:end], 0) + count
    best = sorted(pieces, key=lambda p: (-pieces[p] * len(p) if len(p) > 1 else -10 ** 6 * pieces[p], p))[:1500]
    tokens = [("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN), ("<extra>", 0.0, USER_DEFINED),
              ("hello  world", 0.0, USER_DEFINED), ("\ufb01ne", 0.0, USER_DEFINED), ("<mask>", 0.0, CONTROL)]
    known = {token for token, _, _ in tokens}
    for rank, piece in enumerate(best):
        if piece not in known:
            score = struct.unpack("<f", struct.pack("<f", -2.0 - rank ** 0.5 / 4 - (rank * 7919 % 97) / 97))[0]
            tokens.append((piece, score, UNUSED if rank % 211 == 210 else NORMAL))
    writer.add_tokenizer_model("t5")
    writer.add_token_list([token for token, _, _ in tokens])
    writer.add_token_scores([score for _, score, _ in tokens])
    writer.add_token_types([kind for _, _, kind in tokens])
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)
    writer.add_precompiled_charsmap(character_map(MAP))


def wordpiece(writer, _pre):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    special = len(tokens)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789\u00df\u00e6\u00f8\u03b1\u03b2\u03c9\u0430\u0431\u0936\u0e01\uac00\u1100\u1161"
    tokens += [SPACE + c for c in letters] + list(letters)
    tokens += [SPACE + c for c in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u2026\u2013\u00bf\u4e00\u4e2d\u6587\u65e5\u3002\u20ac"]
    for word, _ in corpus().most_common(700):
        word = word.strip().lower()
        if len(word) > 1 and word.isalpha():
            tokens += [SPACE + word, SPACE + word[:3], word[2:], word[-3:]]
    tokens = list(dict.fromkeys(token for token in tokens if token))
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL] * special + [NORMAL] * (len(tokens) - special))
    writer.add_bos_token_id(2)
    writer.add_unk_token_id(1)
    writer.add_sep_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_mask_token_id(4)


def write(kind, path, pre=""):
    import gguf
    writer = gguf.GGUFWriter(path, "llama")
    {"tekken": tekken, "unigram": unigram, "wordpiece": wordpiece}[kind](writer, pre)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kind", choices=["tekken", "unigram", "wordpiece"])
    parser.add_argument("out")
    parser.add_argument("--pre", default="")
    args = parser.parse_args()
    write(args.kind, args.out, args.pre)


if __name__ == "__main__":
    main()
