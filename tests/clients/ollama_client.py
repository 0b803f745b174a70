"""Ollama's own Python client against a real server and a real model: every call that its users make."""
import asyncio
import os
import subprocess
import time
import unittest

import ollama

URL = os.environ["LULL_URL"]
MODEL = os.environ["LULL_MODEL"]
LULL = os.environ["LULL_BINARY"]
GREEDY = {"temperature": 0, "num_predict": 24}


def lull(*arguments):
    """Runs `lull ARGUMENTS` against the server; returns its stdout."""
    command = [LULL, *arguments, "--url", URL]
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout


class OllamaClient(unittest.TestCase):
    client = ollama.Client(host=URL)

    def ask(self, **more):
        arguments = {"model": MODEL, "options": GREEDY,
                     "messages": [{"role": "user", "content": "What is the capital of France?"}]}
        return self.client.chat(**{**arguments, **more})

    def test_chat(self):
        answer = self.ask()
        self.assertTrue(answer.done)
        self.assertIn(answer.done_reason, ("stop", "length"))
        self.assertEqual(answer.message.role, "assistant")
        self.assertGreater(answer.prompt_eval_count, 5)
        self.assertLessEqual(answer.eval_count, 24)
        for duration in ("total_duration", "prompt_eval_duration", "eval_duration"):
            self.assertGreater(getattr(answer, duration), 1000, duration)
        self.assertIn("Paris", answer.message.content)

    def test_streamed_chat_is_the_whole_one_in_pieces(self):
        pieces = list(self.ask(stream=True))
        self.assertGreater(len(pieces), 2)
        self.assertTrue(pieces[-1].done)
        self.assertFalse(pieces[0].done)
        text = "".join(piece.message.content for piece in pieces)
        self.assertEqual(text, self.ask().message.content)

    def test_async_client(self):
        async def run():
            client = ollama.AsyncClient(host=URL)
            answers = await asyncio.gather(*(client.generate(MODEL, f"{i}:", options=GREEDY)
                                             for i in range(4)))
            return [answer.done for answer in answers]
        self.assertEqual(asyncio.run(run()), [True] * 4)

    def test_generate(self):
        answer = self.client.generate(f"{MODEL}:latest", "Count: 1, 2, 3,", options=GREEDY)
        self.assertEqual(answer.model, f"{MODEL}:latest")
        self.assertEqual(len(answer.context), answer.prompt_eval_count + answer.eval_count)
        again = self.client.generate(MODEL, "Go on.", context=answer.context, options=GREEDY)
        self.assertGreater(again.prompt_eval_count, len(answer.context))
        raw = self.client.generate(MODEL, "Count: 1, 2, 3,", raw=True, options=GREEDY)
        self.assertLess(raw.prompt_eval_count, answer.prompt_eval_count)
        streamed = "".join(piece.response for piece in self.client.generate(
            MODEL, "Count: 1, 2, 3,", raw=True, options=GREEDY, stream=True))
        self.assertEqual(streamed, raw.response)

    def test_options(self):
        ask = lambda **options: self.client.generate(MODEL, "Hello", options=options).response
        self.assertEqual(ask(seed=7, num_predict=12), ask(seed=7, num_predict=12))
        stopped = self.client.generate(MODEL, "1, 2, 3, 4,", raw=True,
                                       options={**GREEDY, "stop": [","]})
        self.assertNotIn(",", stopped.response)
        with self.assertRaises(ollama.ResponseError) as raised:
            ask(temperature="hot")
        self.assertEqual(raised.exception.status_code, 400)

    def test_logprobs(self):
        answer = self.client.generate(MODEL, "Hello", options=GREEDY, logprobs=True,
                                      top_logprobs=3)
        self.assertEqual(len(answer.logprobs), answer.eval_count)
        self.assertEqual(len(answer.logprobs[0].top_logprobs), 3)

    def test_long_conversations_lose_their_beginning(self):
        messages = [{"role": "system", "content": "Be brief."}]
        for i in range(120):
            messages.append({"role": "user", "content": f"Number {i} " * 10})
            messages.append({"role": "assistant", "content": "Noted."})
        messages.append({"role": "user", "content": "Which was the last number?"})
        self.assertLess(self.ask(messages=messages).prompt_eval_count, 2048)

    def test_models(self):
        listed = self.client.list().models
        self.assertIn(f"{MODEL}:latest", [model.model for model in listed])
        self.assertEqual(listed[0].details.format, "gguf")
        shown = self.client.show(MODEL)
        self.assertIn("completion", shown.capabilities)
        self.assertEqual(shown.modelinfo["general.architecture"], "llama")
        self.assertTrue(shown.template)

    def test_load_ps_and_unload(self):
        self.client.generate(MODEL, keep_alive="10m")
        running = self.client.ps().models
        self.assertEqual([model.model for model in running], [f"{MODEL}:latest"])
        self.assertGreater(running[0].size, 1000)
        self.assertIn(MODEL, lull("ps"))
        answer = self.client.generate(MODEL, keep_alive=0)
        self.assertEqual(answer.done_reason, "unload")
        for _ in range(500):
            if not self.client.ps().models:
                break
            time.sleep(0.01)
        self.assertEqual(len(self.client.ps().models), 0)
        self.client.chat(MODEL, keep_alive=-1)
        lull("stop", MODEL)

    def test_errors(self):
        for call in (lambda: self.client.chat("nothing", messages=[{"role": "user", "content": "x"}]),
                     lambda: self.client.show("nothing"),
                     lambda: self.client.pull("nothing"),
                     lambda: self.client.delete("nothing")):
            with self.assertRaises(ollama.ResponseError) as raised:
                call()
            self.assertEqual(raised.exception.status_code, 404)
            self.assertIn("nothing", raised.exception.error)
        with self.assertRaises(ollama.ResponseError) as raised:
            list(self.client.chat("nothing", messages=[], stream=True))
        self.assertEqual(raised.exception.status_code, 404)
        with self.assertRaises(ollama.ResponseError) as raised:
            self.client.embed(MODEL, "text")
        self.assertEqual(raised.exception.status_code, 501)
        with self.assertRaises(ollama.ResponseError) as raised:
            self.ask(messages=[{"role": "user", "content": "x", "images": [b"png"]}])
        self.assertEqual(raised.exception.status_code, 400)
