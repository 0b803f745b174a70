"""Ollama's own Python client against a real server and a real model: every call that its users make."""
import asyncio
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import ollama
import run

URL = os.environ["LULL_URL"]
MODEL = os.environ["LULL_MODEL"]
LULL = os.environ["LULL_BINARY"]
GREEDY = {"temperature": 0, "num_predict": 24}


def lull(*arguments):
    """Runs `lull ARGUMENTS` against the server; returns its stdout."""
    command = [LULL, *arguments, "--url", URL]
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout


TOOL_TEMPLATE = """
{%- for tool in tools or [] %}{{ tool.function | tojson }}
{% endfor %}
{%- for message in messages %}<|im_start|>{{ message.role }} {{ message.name }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{{ {"name": call.function.name, "arguments": call.function.arguments} | tojson }}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def set_light(on: bool, room: str) -> str:
    """Turns a light on or off.

    Args:
        on: whether it shines
        room: where it is
    """
    return f"the light in the {room} is {'on' if on else 'off'}"


# Weights are random here: a format makes of the answer the call that a trained model would write.
LIGHT_CALL = {
    "type": "object", "required": ["name", "arguments"], "additionalProperties": False,
    "properties": {
        "name": {"const": "set_light"},
        "arguments": {
            "type": "object", "required": ["on", "room"], "additionalProperties": False,
            "properties": {"on": {"type": "boolean"}, "room": {"enum": ["hall", "attic"]}}}}}


class Tools(unittest.TestCase):
    """On a tiny model whose template has tools, with a server of its own."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        model = pathlib.Path(cls.folder.name) / "handy.gguf"
        template = pathlib.Path(cls.folder.name) / "template"
        template.write_text(TOOL_TEMPLATE)
        subprocess.run([os.environ["LULL_MAKE_TINY_MODEL"], "--ctx", "2048", "--template",
                        str(template), "--out", str(model)], check=True)
        cls.server, port = run.start_server(LULL, model, [])
        cls.client = ollama.Client(host=f"http://127.0.0.1:{port}")

    @classmethod
    def tearDownClass(cls):
        run.stop_server(cls.server)
        cls.folder.cleanup()

    def ask(self, **more):
        arguments = {"model": "handy", "tools": [set_light], "options": {"num_predict": 200},
                     "messages": [{"role": "user", "content": "Light!"}]}
        return self.client.chat(**{**arguments, **more})

    def test_capabilities(self):
        self.assertEqual(self.client.show("handy").capabilities, ["completion", "tools"])

    def test_calls_and_their_results(self):
        answer = self.ask(format=LIGHT_CALL)
        self.assertEqual(answer.done_reason, "stop")
        self.assertFalse(answer.message.content)
        [call] = answer.message.tool_calls
        self.assertEqual(call.function.name, "set_light")
        result = set_light(**call.function.arguments)
        history = [{"role": "user", "content": "Light!"}, answer.message,
                   {"role": "tool", "tool_name": "set_light", "content": result}]
        longer = self.ask(messages=history)
        self.assertGreater(longer.prompt_eval_count, answer.prompt_eval_count + len("attic"))

    def test_streamed(self):
        pieces = list(self.ask(format=LIGHT_CALL, stream=True))
        calls = [call for piece in pieces for call in piece.message.tool_calls or []]
        self.assertEqual([call.function.name for call in calls], ["set_light"])
        self.assertIsInstance(calls[0].function.arguments["on"], bool)
        self.assertEqual("".join(piece.message.content or "" for piece in pieces), "")
        self.assertTrue(pieces[-1].done)

    def test_answers_without_calls_are_text(self):
        options = {"num_predict": 20, "seed": 3, "temperature": 1}
        whole = self.ask(options=options)
        streamed = "".join(piece.message.content for piece in self.ask(options=options, stream=True))
        self.assertEqual(streamed, whole.message.content)
        self.assertIsNone(whole.message.tool_calls)


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

    def test_format(self):
        schema = {"type": "object", "required": ["city"], "additionalProperties": False,
                  "properties": {"city": {"type": "string", "maxLength": 12}}}
        answers = (self.ask(format=schema).message.content,
                   "".join(piece.message.content for piece in self.ask(format=schema, stream=True)),
                   self.client.generate(MODEL, "A city?", format=schema, options=GREEDY).response)
        for answer in answers:
            self.assertEqual(list(json.loads(answer)), ["city"], answer)
        anything = self.ask(format="json", options={**GREEDY, "num_predict": 200})
        if anything.done_reason == "stop":
            self.assertIsInstance(json.loads(anything.message.content), dict)

    def test_tools_need_a_template_that_has_them(self):
        self.assertNotIn("tools", self.client.show(MODEL).capabilities)
        with self.assertRaises(ollama.ResponseError) as raised:
            self.ask(tools=[set_light])
        self.assertEqual(raised.exception.status_code, 400)
        self.assertIn("does not support tools", raised.exception.error)

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
