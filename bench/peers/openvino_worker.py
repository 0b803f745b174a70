#!/usr/bin/env python3
"""OpenVINO GenAI behind a pipe: one JSON request a line on stdin, one answer a line on stdout.

  openvino_worker.py MODEL.gguf THREADS

{"do": "speed", "prompt": P, "new": N, "depth": D}  prefill from the time to the first token of P tokens,
    decode from the times between N more tokens after D; CPU seconds beside them
{"do": "perplexity", "text": PATH, "ctx": 512}  by llama.cpp's method: chunks of ctx tokens,
    the second half of each scored, each begun with BOS where the file asks for one
The first line is {"ready": true} or {"error": why}.
"""
import contextlib
import json
import math
import os
import resource
import sys

import numpy as np
import openvino
import openvino_genai

SHORT_PROMPT_TOKENS = 4  # decoding from nothing: as few as any tokenizer would give


def pseudo_tokens(seed, count, vocab):
    """For seed 7 the tokens of `lull bench`."""
    tokens = []
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) % 2**32
        tokens.append((seed >> 8) % vocab)
    return tokens


def as_tensor(tokens):
    return openvino.Tensor(np.array([tokens], dtype=np.int64))


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Worker:
    def __init__(self, path, threads):
        self._path, self._properties = path, {"INFERENCE_NUM_THREADS": threads}
        self._pipeline = openvino_genai.LLMPipeline(path, "CPU", **self._properties)
        self._vocab = len(self._pipeline.get_tokenizer().get_vocab())
        self._seed = 7
        self.generate(SHORT_PROMPT_TOKENS, 2)

    def generate(self, prompt, new):
        """Greedy; (metrics, CPU seconds) of one call. Each has other tokens: the library keeps the keys and values of
        prompts it has seen, and would not compute one again."""
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.do_sample, config.ignore_eos = new, False, True
        tokens = as_tensor(pseudo_tokens(self._seed, prompt, self._vocab))
        self._seed += 1
        inputs = openvino_genai.TokenizedInputs(tokens, as_tensor([1] * prompt))
        before = cpu_seconds()
        metrics = self._pipeline.generate(inputs, config).perf_metrics
        cpu = cpu_seconds() - before
        if metrics.get_num_input_tokens() != prompt or metrics.get_num_generated_tokens() != new:
            raise RuntimeError(f"asked for {prompt} + {new} tokens, got {metrics.get_num_input_tokens()} + "
                               f"{metrics.get_num_generated_tokens()}")
        return metrics, cpu

    def speed(self, prompt, new, depth):
        result = {}
        if prompt > 0:
            self.generate(prompt, 1)  # shapes seen for the first time cost more, in other engines' warm-up too
            metrics, cpu = self.generate(prompt, 1)
            result |= {"prefill_tok_s": 1000 * prompt / metrics.get_ttft().mean,
                       "cpu_s_per_1k_prefill": 1000 * cpu / prompt}
        if new > 0:
            context = max(depth, SHORT_PROMPT_TOKENS)
            _, cpu_first = self.generate(context, 1)
            metrics, cpu = self.generate(context, new + 1)
            result |= {"decode_tok_s": 1000 / metrics.get_tpot().mean,
                       "cpu_s_per_1k_decode": 1000 * (cpu - cpu_first) / new}
        return result

    def perplexity(self, text, ctx):
        with open(text, encoding="utf-8") as file:
            content = file.read().removesuffix("\n")
        scorer = openvino_genai.ContinuousBatchingPipeline(self._path, openvino_genai.SchedulerConfig(), "CPU",
                                                           self._properties)
        tokenizer = scorer.get_tokenizer()
        bos = tokenizer.encode("a", add_special_tokens=True).input_ids.data[0].tolist()
        bare = tokenizer.encode("a", add_special_tokens=False).input_ids.data[0].tolist()
        tokens = tokenizer.encode(content, add_special_tokens=True).input_ids.data[0].tolist()
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens, config.do_sample, config.ignore_eos = 1, False, True
        config.echo, config.logprobs = True, 1
        nll, scored = 0.0, 0
        for i in range(len(tokens) // ctx):
            chunk = tokens[i * ctx:(i + 1) * ctx]
            if len(bos) > len(bare):
                chunk[0] = bos[0]
            handle = scorer.add_request(i, as_tensor(chunk), config)
            while scorer.has_non_finished_requests():
                scorer.step()
            log_probs = handle.read_all()[0].generated_log_probs[ctx // 2 + 1:ctx]
            nll -= sum(log_probs)
            scored += len(log_probs)
        return {"perplexity": math.exp(nll / scored), "tokens": scored}


def answer(worker, request):
    if request["do"] == "speed":
        return worker.speed(request["prompt"], request["new"], request["depth"])
    return worker.perplexity(request["text"], request["ctx"])


def main():
    # What the libraries print must not come between the answers.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(what):
        out.write(json.dumps(what) + "\n")

    try:
        worker = Worker(sys.argv[1], int(sys.argv[2]))
    except Exception as error:  # pylint: disable=broad-except
        say({"error": str(error).strip().splitlines()[-1][:300]})
        return
    say({"ready": True, "version": openvino_genai.get_version()})
    for line in sys.stdin:
        before = cpu_seconds()
        try:
            result = answer(worker, json.loads(line))
        except Exception as error:  # pylint: disable=broad-except
            result = {"error": str(error).strip().splitlines()[-1][:300]}
        result["cpu_s"] = cpu_seconds() - before
        result["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        say(result)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main()
