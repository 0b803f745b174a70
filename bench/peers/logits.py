"""Whether engines compute the same on random weights: log-probabilities of each against llama.cpp's.

The reference is llama-perplexity's --save-all-logits file, of the plainest variant. At each position its likeliest
TOP tokens count: the cosine of their centred log-probabilities in both engines.
"""
import array
import dataclasses
import heapq
import math
import os
import statistics
import struct
import tempfile

CONTEXT, CHUNKS = 128, 2
TOP = 100
LEAST_COSINE = 0.99


class Malformed(Exception):
    """A file that is not what llama-perplexity writes."""


@dataclasses.dataclass(frozen=True)
class Reference:
    chunks: list  # of token ids, each CONTEXT long
    tops: list  # by chunk and scored position: {token: log-probability} of the likeliest


def scored_positions(context=CONTEXT):
    """Those whose logits llama-perplexity writes: of the second half, but for the last token's."""
    return range(context // 2, context - 1)


def parse_saved(data, top=TOP):
    """Reference of a --save-all-logits file: uint16 steps of `scale` above a minimum, for each position."""
    if data[:8] != b"_logits_" or len(data) < 20:
        raise Malformed("does not begin with _logits_")
    context, vocab, num_chunks = struct.unpack_from("<Iii", data, 8)
    if len(data) < 20 + 4 * num_chunks * context:
        raise Malformed("ends within its tokens")
    tokens = struct.unpack_from(f"<{num_chunks * context}i", data, 20)
    chunks = [list(tokens[i * context:(i + 1) * context]) for i in range(num_chunks)]
    at, record = 20 + 4 * len(tokens), 2 * (2 * ((vocab + 1) // 2) + 4)
    tops = []
    for _ in range(num_chunks):
        positions = []
        for _ in scored_positions(context):
            if at + record > len(data):
                raise Malformed(f"ends within the record at byte {at}")
            scale, least = struct.unpack_from("<ff", data, at)
            steps = array.array("H", data[at + 8:at + 8 + 2 * vocab])
            likeliest = heapq.nlargest(top, range(vocab), key=steps.__getitem__)
            positions.append({token: least + scale * steps[token] for token in likeliest})
            at += record
        tops.append(positions)
    return Reference(chunks, tops)


def run_and_parse(run, top=TOP):
    """Reference of what run(path) writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "logits")
        run(path)
        with open(path, "rb") as file:
            return parse_saved(file.read(), top)


def cosine(reference, other):
    """Of one position; 0 where the other does not have one of the reference's likeliest tokens."""
    tokens = list(reference)
    if any(token not in other for token in tokens):
        return 0.0
    a, b = [reference[t] for t in tokens], [other[t] for t in tokens]
    mean_a, mean_b = statistics.fmean(a), statistics.fmean(b)
    a, b = [x - mean_a for x in a], [x - mean_b for x in b]
    norm = math.sqrt(sum(x * x for x in a) * sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b)) / norm if norm > 0 else 0.0


def median_cosine(reference, tops):
    """Over all scored positions: single ones part where a router's choice is nearly even."""
    return statistics.median(cosine(r, o) for ours, theirs in zip(reference.tops, tops) for r, o in zip(ours, theirs))
