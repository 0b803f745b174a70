#!/usr/bin/env python3
"""Compares Lull's token ids with llama.cpp's on generated strings.

    tools/compare_tokenizer.py --oracle build/oracle/tokenize_oracle \\
        --lull build/dev/tokenize_dump --count 20000 MODEL.gguf ...

Prints one line per vocabulary: strings compared, mismatches, strings llama.cpp refuses (it throws
on four-byte sequences beyond U+10FFFF). Exit status 1 where anything differs. A MODEL.gguf.inp
beside a vocabulary file adds its cases; Lull's ids of those are also compared with MODEL.gguf.out.
--golden FILE writes llama.cpp's ids for --count strings instead: the goldens of tests/tokenizer.
--pre NAME,NAME,... compares each file again under other values of tokenizer.ggml.pre; needs the
Python package gguf, as these do:
--table compares the given files and made ones (tools/make_vocab.py: every pre-tokenizer of the list,
Unigram and WordPiece with their options), with special tokens and without, and prints a table.
--made-goldens FOLDER writes made vocabularies and llama.cpp's ids: tests/tokenizer/golden/made.
"""
import argparse
import os
import random
import re
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# What is changed in the vocabularies of tools/make_vocab.py, by kind.
MADE_VARIANTS = {
    "tekken": [{}],
    "unigram": [{}, {"tokenizer.ggml.remove_extra_whitespaces": False}, {"tokenizer.ggml.add_space_prefix": False},
                {"tokenizer.ggml.add_space_prefix": False, "tokenizer.ggml.remove_extra_whitespaces": False},
                {"tokenizer.ggml.precompiled_charsmap": None, "tokenizer.ggml.add_eos_token": False}],
    "wordpiece": [{}, {"tokenizer.ggml.normalizer.lowercase": False}, {"tokenizer.ggml.normalizer.strip_accents": False},
                  {"tokenizer.ggml.normalizer.lowercase": False, "tokenizer.ggml.normalizer.strip_accents": True}],
}

SCRIPTS = [  # first and last code point of blocks that people write in
    (0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x530, 0x58F),
    (0x591, 0x5F4), (0x600, 0x6FF), (0x700, 0x74F), (0x900, 0x97F), (0x980, 0x9FF), (0xA80, 0xAFF),
    (0xB80, 0xBFF), (0xC00, 0xC7F), (0xD00, 0xD7F), (0xE00, 0xE7F), (0xE80, 0xEFF), (0xF00, 0xFFF),
    (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF),
    (0x1780, 0x17FF), (0x1800, 0x18AF), (0x1E00, 0x1FFF), (0x2C00, 0x2DFF), (0x3040, 0x30FF),
    (0x3100, 0x318F), (0x4E00, 0x9FFF), (0xA000, 0xA4CF), (0xAC00, 0xD7A3), (0xFB00, 0xFDFF),
    (0xFF00, 0xFFEF), (0x10400, 0x1044F), (0x12000, 0x123FF), (0x1D400, 0x1D7FF), (0x20000, 0x2A6DF)]
DIGITS = [0x30, 0x660, 0x6F0, 0x966, 0xE50, 0xFF10, 0x1D7CE]
NUMBERS = "½²³¹⅓①⑳ⅣⅯ〇一二三㊉𐄇"
SPACES = [" ", "  ", "   ", "    ", "\n", "\n\n", "\r\n", "\t", "\t\t", "\v", "\f", "\r", " \n",
          "\n ", "\u00a0", "\u0085", "\u1680", "\u2000", "\u2003", "\u2009", "\u2028", "\u2029",
          "\u202f", "\u205f", "\u3000", "\u200b", "\ufeff", "\u2581", "\u2581\u2581", "\x1c", "\x1f"]
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + list(
    "…—–‘’“”«»¿¡§¶†•‰′″‹›€£¥©®™°±×÷√∞≈≠≤≥←→↔⇒、。，；：？！「」『』（）【】《》・～￥۔،؟।՞")
MARKS = ["\u0301", "\u0308", "\u0327", "\u20dd", "\u093f", "\u0e31", "\u05b0", "\u064b", "\u3099"]
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "❤️", "☺", "1️⃣", "🧑🏿‍🚀", "\u200d", "\ufe0f", "🫠"]
WORDS = """the of and to in is that for it was on are as with his they at be this from have or by
one had not but what all were when we there can an your which their said if do will each about how
up out them then she many some so these would other into has more her two like him see time could
no make than first been its who now people my made over did down only way find use may water long
Hello World HTTP JSON iPhone eBay McDonald's camelCase snake_case SCREAMING_CASE getElementById
naïve façade über Straße piñata coöperate Ærøskøbing İstanbul ısı ﬁne ﬀ Ǆ ʼn ſtraße Ωmega""".split()
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'LL", "'x",
                "'", "''", "’s", "'re'", "'lL", "'ſ"]
CODE = ["int main(int argc, char** argv) {\n\treturn 0;\n}\n", "for i in range(10):\n    print(i)\n",
        "SELECT * FROM t WHERE a >= 10 AND b != 'x';", "x += 1; y <<= 2; z = a ? b : c;",
        "{\"key\": [1, 2.5e-3, null, true]}", "<div class=\"a\">&amp;</div>", "a->b::c.d[e](f)",
        "https://example.org/path?q=1&r=%20#frag", "user@example.com", "C:\\Windows\\System32",
        "0x7fffDEADbeef", "3.14159265358979", "1,234,567.89", "192.168.0.1", "2024-02-29T12:34:56Z",
        "// comment\n", "/* x */", "#include <vector>\r\n", "\\n\\t\\\\", "    def f(self):\n        pass\n"]


class Generator:
    def __init__(self, seed, special):
        self.random = random.Random(seed)
        self.special = special
        self.kinds = [self.words, self.words, self.words, self.script, self.script, self.digits, self.space,
                      self.space, self.punctuation, self.emoji, self.code, self.token, self.token,
                      self.control, self.raw, self.any_code, self.marks, self.run, self.contraction]

    def words(self):
        joiner = self.random.choice([" ", " ", " ", "", "-", "_", "\n", "  "])
        return joiner.join(self.random.choice(WORDS) for _ in range(self.random.randint(1, 6))).encode()

    def script(self):
        first, last = self.random.choice(SCRIPTS)
        return "".join(chr(self.random.randint(first, last))
                       for _ in range(self.random.randint(1, 8))).encode()

    def digits(self):
        zero = self.random.choice([0x30, 0x30, 0x30] + DIGITS)
        text = "".join(chr(zero + self.random.randint(0, 9)) for _ in range(self.random.randint(1, 12)))
        if self.random.random() < 0.2:
            text += self.random.choice(NUMBERS)
        return text.encode()

    def space(self):
        return "".join(self.random.choice(SPACES) for _ in range(self.random.randint(1, 4))).encode()

    def punctuation(self):
        return "".join(self.random.choice(PUNCTUATION) for _ in range(self.random.randint(1, 4))).encode()

    def emoji(self):
        return "".join(self.random.choice(EMOJI) for _ in range(self.random.randint(1, 3))).encode()

    def code(self):
        return self.random.choice(CODE).encode()

    def token(self):
        if not self.special:
            return b""
        token = self.random.choice(self.special)
        if self.random.random() < 0.15:  # a damaged one
            token = token[:self.random.randint(0, len(token))]
        return token * self.random.choice([1, 1, 1, 2])

    def control(self):
        return bytes(self.random.choice([0, 1, 7, 8, 27, 127, 0x1c]) for _ in range(self.random.randint(1, 3)))

    def raw(self):
        kind = self.random.random()
        if kind < 0.6:
            return bytes(self.random.randint(0, 255) for _ in range(self.random.randint(1, 6)))
        if kind < 0.8:  # a character cut short
            return self.random.choice(["é", "中", "😀", "ह"]).encode()[:-1]
        return self.random.choice([b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf",
                                   b"\xf0\x80\x80\x80", b"\xff\xfe", b"\xf8\x88\x80\x80\x80", b"\x80", b"\xc2"])

    def any_code(self):
        codes = []
        for _ in range(self.random.randint(1, 5)):
            code = self.random.choice([self.random.randint(0, 0x10FFFF), self.random.randint(0, 0x2FFF),
                                       self.random.randint(0x2000, 0xFFFF)])
            codes.append(0x41 if 0xD800 <= code < 0xE000 else code)
        return "".join(map(chr, codes)).encode()

    def marks(self):
        return "".join(self.random.choice("aeiouनगก") + self.random.choice(MARKS)
                       for _ in range(self.random.randint(1, 3))).encode()

    def run(self):
        unit = self.random.choice([" ", "\n", "a", "A", "=", "-", "_", "\t", "0", "あ", "▁", "#", "\r\n", "ab"])
        return (unit * self.random.randint(1, 70)).encode()

    def contraction(self):
        return (self.random.choice(["I", "we", "x", " ", "É", ""]) + self.random.choice(CONTRACTIONS)).encode()

    def string(self):
        return b"".join(self.random.choice(self.kinds)() for _ in range(self.random.randint(1, 9)))


def special_texts(model):
    """Control and user-defined token texts, and a few others, straight from the file."""
    try:
        import gguf
        reader = gguf.GGUFReader(model)
        tokens = reader.fields["tokenizer.ggml.tokens"]
        types = reader.fields["tokenizer.ggml.token_type"]
    except (ImportError, KeyError):
        return [b"<s>", b"</s>", b"<|im_start|>", b"<|im_end|>", b"<|endoftext|>", b"<start_of_turn>"]
    texts = []
    for index, part in enumerate(types.data):
        if int(types.parts[part][0]) in (2, 3, 4, 6) or index % 2003 == 0:
            texts.append(bytes(tokens.parts[tokens.data[index]]))
    return texts


def known_inputs(model):
    path = model + ".inp"
    if not os.path.exists(path):
        return []
    with open(path, "rb") as file:
        return file.read().split(b"\n__ggml_vocab_test__\n")


def pack(strings):
    return b"".join(struct.pack("<I", len(text)) + text for text in strings)


def unpack(data):
    lists, pos = [], 0
    while pos < len(data):
        count, = struct.unpack_from("<i", data, pos)
        pos += 4
        if count < 0:
            lists.append(None)
            continue
        lists.append(struct.unpack_from(f"<{count}i", data, pos))
        pos += 4 * count
    return lists


def run(program, model, arguments, data):
    return subprocess.run([program, model, *arguments], input=data, stdout=subprocess.PIPE, check=False,
                          stderr=subprocess.PIPE)


def compare_known(args, model):
    """The ids that come with a vocabulary file, special tokens not parsed: cases, how many differ, all there."""
    if not os.path.exists(model + ".out"):
        return 0, 0, True
    with open(model + ".out", encoding="ascii") as file:
        expected = [tuple(map(int, line.split())) for line in file]
    strings = known_inputs(model)
    if not strings[-1]:  # what follows the last separator is no case
        strings.pop()
    got = unpack(run(args.lull, model, ["--no-special"], pack(strings)).stdout)
    different = sum(a != b for a, b in zip(expected, got))
    return len(expected), different, len(expected) == len(got) == len(strings)


def outcome_of(args, model, strings, arguments):
    """Counts and examples, or the reason why there are none."""
    data = pack(strings)
    results = []
    for program in (args.oracle, args.lull):
        outcome = run(program, model, arguments, data)
        if outcome.returncode != 0:
            error = outcome.stderr.decode(errors="replace").strip().replace("\n", " ")[-300:]
            return {"reason": f"{os.path.basename(program)} exits {outcome.returncode}: {error}"}
        results.append(unpack(outcome.stdout))
    refused = sum(expected is None for expected in results[0])
    wrong = [(text, expected, got) for text, expected, got in zip(strings, *results)
             if expected is not None and expected != got]
    ends = [unpack(run(program, model, ["--end"], b"").stdout) for program in (args.oracle, args.lull)]
    complete = len(results[0]) == len(results[1]) == len(strings)
    return {"strings": len(strings) - refused, "refused": refused, "different": len(wrong), "ends": ends,
            "examples": wrong[:args.show], "good": not wrong and ends[0] == ends[1] and complete}


def strings_for(args, model):
    generator = Generator(args.seed, special_texts(model))
    return known_inputs(model) + [generator.string() for _ in range(args.count)]


def print_examples(outcome):
    for text, expected, got in outcome.get("examples", []):
        print(f"  {text!r}\n    llama.cpp {expected}\n    lull      {got}")


def compare(args, model, label, arguments):
    cases, different, complete = compare_known(args, model)
    if cases:
        print(f"{label} .out: {cases} cases compared, {different} different" + ("" if complete else ", not all there"))
    outcome = outcome_of(args, model, strings_for(args, model), arguments)
    if "reason" in outcome:
        print(f"{label}: {outcome['reason']}")
        return "oracle" in outcome["reason"]
    print_examples(outcome)
    ends = outcome["ends"]
    print(f"{label} {' '.join(arguments)}: {outcome['strings']} strings compared, {outcome['different']} different, "
          f"{outcome['refused']} refused by llama.cpp, end of generation {'equal' if ends[0] == ends[1] else ends}", flush=True)
    return outcome["good"] and not different and complete


def table_row(args, model, label, strings):
    """One line of the table: with special tokens and what texts start and end with, and without both."""
    kind, pre = string_of(model, "tokenizer.ggml.model"), string_of(model, "tokenizer.ggml.pre")
    outcomes = [outcome_of(args, model, strings, arguments) for arguments in (["--ends"], ["--no-special"])]
    reasons = [outcome["reason"] for outcome in outcomes if "reason" in outcome]
    if reasons:
        print(f"| {label} | {kind} | {pre} | 0 | - | {reasons[0]} |", flush=True)
        return False
    cases, known_different, complete = compare_known(args, model)
    different = known_different + sum(outcome["different"] for outcome in outcomes)
    refused = sum(outcome["refused"] for outcome in outcomes)
    note = f"llama.cpp refuses {refused}" if refused else ""
    if outcomes[0]["ends"][0] != outcomes[0]["ends"][1]:
        note += f" end of generation {outcomes[0]['ends']}"
    print(f"| {label} | {kind} | {pre} | {cases + sum(outcome['strings'] for outcome in outcomes)} | {different} | {note} |", flush=True)
    for outcome in outcomes:
        print_examples(outcome)
    return not known_different and complete and all(outcome["good"] for outcome in outcomes)


def listed_pretokenizers():
    path = os.path.join(HERE, "..", "src", "tokenizer", "pretokenizer_list.inc")
    with open(path, encoding="utf-8") as file:
        return re.findall(r'LULL_PRETOKENIZER\("([^"]+)"', file.read())


def print_table(args):
    """The given files, then made ones: every pre-tokenizer of the list, and what the others have as options."""
    import make_vocab
    print("| vocabulary | model | pre | strings | different | note |\n|---|---|---|---|---|---|")
    good = True
    for model in args.models:
        good &= table_row(args, model, os.path.basename(model), strings_for(args, model))
    with tempfile.TemporaryDirectory() as folder:
        for kind, variants in MADE_VARIANTS.items():
            model = os.path.join(folder, kind + ".gguf")
            make_vocab.write(kind, model)
            strings = strings_for(args, model)[:args.made_count]
            if kind == "tekken":
                variants = [{"tokenizer.ggml.pre": pre} for pre in listed_pretokenizers()]
            for changes in variants:
                path = changed(model, changes, folder)
                shown = " ".join(f"{key.split('.')[-1]}={value}" for key, value in changes.items() if kind != "tekken")
                good &= table_row(args, path, f"made, {kind} {shown}".strip(), strings)
    return good


def write_golden(args, model, path):
    generator = Generator(args.seed, special_texts(model))
    strings = [generator.string() for _ in range(args.count)]
    lists = unpack(run(args.oracle, model, [], pack(strings)).stdout)
    kept = [text for text, ids in zip(strings, lists) if ids is not None]
    with open(path, "w", encoding="ascii") as file:
        for text, ids in zip(strings, lists):
            if ids is not None:
                file.write(" ".join([text.hex() or "-", *map(str, ids)]) + "\n")
    return kept


def write_made_goldens(args, folder):
    """Made vocabularies, llama.cpp's ids for each, and a hash of its ids under every pre-tokenizer."""
    import make_vocab
    os.makedirs(folder, exist_ok=True)
    strings = []
    for kind in MADE_VARIANTS:
        model = os.path.join(folder, kind + ".gguf")
        make_vocab.write(kind, model)
        kept = write_golden(args, model, os.path.join(folder, kind + ".txt"))
        strings = strings or kept
    model = os.path.join(folder, "tekken.gguf")
    with tempfile.TemporaryDirectory() as temporary, open(os.path.join(folder, "pretokenizers.txt"), "w", encoding="ascii") as file:
        for pre in listed_pretokenizers():
            path = changed(model, {"tokenizer.ggml.pre": pre}, temporary)
            file.write(f"{pre} {fnv1a(run(args.oracle, path, [], pack(strings)).stdout):016x}\n")


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def string_of(model, key):
    import gguf
    field = gguf.GGUFReader(model).fields.get(key)
    return field.contents() if field is not None else ""


def changed(model, changes, folder):
    """A copy of a vocabulary file with other values of some keys; None leaves a key out."""
    import gguf
    reader = gguf.GGUFReader(model)
    path = os.path.join(folder, "vocab.gguf")
    writer = gguf.GGUFWriter(path, "llama")
    for name, field in reader.fields.items():
        if not name.startswith("tokenizer.") or name in changes or "template" in name:
            continue
        value = field.contents()
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            if field.types[1] == gguf.GGUFValueType.STRING:
                value = [bytes(field.parts[index]) for index in field.data]
            elif field.types[1] == gguf.GGUFValueType.UINT8:
                value = bytes(value)
            writer.add_array(name, value)
        else:
            writer.add_key_value(name, value, field.types[0])
    for name, value in changes.items():
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif value is not None:
            writer.add_string(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--oracle", required=True)
    parser.add_argument("--lull", default="")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=3, help="differences to print")
    parser.add_argument("--no-special", action="store_true")
    parser.add_argument("--pre", default="")
    parser.add_argument("--golden", default="")
    parser.add_argument("--made-goldens", default="", metavar="FOLDER")
    parser.add_argument("--made-count", type=int, default=2000, help="strings for each made vocabulary of the table")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("models", nargs="*")
    args = parser.parse_args()
    if args.golden:
        write_golden(args, args.models[0], args.golden)
        return 0
    if args.made_goldens:
        write_made_goldens(args, args.made_goldens)
        return 0
    if args.table:
        return 0 if print_table(args) else 1
    arguments = ["--no-special"] if args.no_special else []
    good = True
    for model in args.models:
        name = os.path.basename(model)
        if not args.pre:
            good &= compare(args, model, name, arguments)
        for pre in filter(None, args.pre.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                good &= compare(args, changed(model, {"tokenizer.ggml.pre": pre}, folder), f"{name} as {pre}", arguments)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
