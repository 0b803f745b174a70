"""OpenAI's own Python client against a real server and a real model."""
import json
import os
import unittest

import openai
from openai import OpenAI
from pydantic import BaseModel

URL = os.environ["LULL_URL"]
MODEL = os.environ["LULL_MODEL"]
client = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=600)

HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20},
                           "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


def chat(**fields):
    fields = {"model": MODEL, "messages": HELLO, "temperature": 0, "max_tokens": 24, **fields}
    return client.chat.completions.create(**fields)


class Chat(unittest.TestCase):
    def test_models(self):
        names = [model.id for model in client.models.list()]
        self.assertIn(MODEL, names)
        self.assertEqual(client.models.retrieve(MODEL).id, MODEL)
        with self.assertRaises(openai.NotFoundError):
            client.models.retrieve("none-such")

    def test_answer_usage_and_receipt(self):
        answer = chat()
        self.assertTrue(answer.choices[0].message.content)
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        usage = answer.usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        receipt = answer.model_extra["lull"]
        self.assertEqual(receipt["request_id"], answer.id)
        self.assertGreater(receipt["cpu_ms"], 0)

    def test_request_id(self):
        answer = chat(max_tokens=2)
        self.assertEqual(answer._request_id, answer.id)

    def test_stream_says_the_same(self):
        whole = chat().choices[0].message.content
        stream = chat(stream=True, stream_options={"include_usage": True})
        text, usage = "", None
        for chunk in stream:
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
            usage = chunk.usage or usage
        self.assertEqual(text, whole)
        self.assertGreater(usage.completion_tokens, 0)

    def test_several_answers(self):
        answer = chat(n=3, temperature=1.5, seed=5, max_tokens=12)
        texts = [choice.message.content for choice in answer.choices]
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        self.assertEqual(len(set(texts)), 3)
        again = chat(n=3, temperature=1.5, seed=5, max_tokens=12)
        self.assertEqual(texts, [choice.message.content for choice in again.choices])

    def test_logprobs(self):
        answer = chat(logprobs=True, top_logprobs=3, max_tokens=4)
        content = answer.choices[0].logprobs.content
        self.assertEqual("".join(entry.token for entry in content if entry.bytes)[:4],
                         answer.choices[0].message.content[:4])
        for entry in content:
            self.assertEqual(len(entry.top_logprobs), 3)
            self.assertLessEqual(entry.logprob, 0)
            self.assertAlmostEqual(entry.logprob, entry.top_logprobs[0].logprob)  # greedy

    def test_stop_and_logit_bias(self):
        text = chat().choices[0].message.content
        stop = text[5:8]
        cut = chat(stop=[stop]).choices[0]
        self.assertEqual(cut.message.content, text[:text.index(stop)])
        self.assertEqual(cut.finish_reason, "stop")
        first = chat(extra_body={"return_token_ids": True}).choices[0].model_extra["token_ids"][0]
        other = chat(logit_bias={str(first): -100}).choices[0].message.content
        self.assertNotEqual(other, text)


class Errors(unittest.TestCase):
    def test_bad_requests_name_the_field(self):
        for field, value in (("temperature", -1), ("max_tokens", 0), ("top_logprobs", 2)):
            with self.assertRaises(openai.BadRequestError) as caught:
                chat(**{field: value})
            self.assertEqual(caught.exception.param, field)
            self.assertEqual(caught.exception.type, "invalid_request_error")
        with self.assertRaises(openai.BadRequestError) as caught:
            chat(extra_body={"no_such_option": 1})
        self.assertIn("no_such_option", caught.exception.message)

    def test_too_long(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            chat(messages=[{"role": "user", "content": "word " * 5000}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")

    def test_images_are_refused(self):
        parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
        with self.assertRaises(openai.BadRequestError):
            chat(messages=[{"role": "user", "content": parts}])

    def test_embeddings_say_why(self):
        with self.assertRaises(openai.InternalServerError) as caught:
            client.embeddings.create(model=MODEL, input="x")
        self.assertEqual(caught.exception.status_code, 501)
        self.assertIn("embeddings", caught.exception.message)


class Completions(unittest.TestCase):
    def ask(self, **fields):
        fields = {"model": MODEL, "prompt": "The capital of France is", "temperature": 0,
                  "max_tokens": 8, **fields}
        return client.completions.create(**fields)

    def test_text_prompts_and_echo(self):
        plain = self.ask().choices[0].text
        self.assertEqual(self.ask(echo=True).choices[0].text, "The capital of France is" + plain)
        several = self.ask(prompt=["The capital of France is", "One two three"], n=2)
        self.assertEqual(len(several.choices), 4)
        self.assertEqual(several.choices[0].text, plain)
        self.assertEqual(several.choices[1].text, plain)

    def test_tokens_as_prompt(self):
        ids = self.ask(extra_body={"return_token_ids": True}).choices[0].model_extra
        again = self.ask(prompt=ids["prompt_token_ids"])
        self.assertEqual(again.choices[0].text, self.ask().choices[0].text)

    def test_stream_with_logprobs(self):
        stream = self.ask(stream=True, logprobs=2)
        entries = [p for chunk in stream if chunk.choices and chunk.choices[0].logprobs
                   for p in chunk.choices[0].logprobs.token_logprobs]
        self.assertEqual(len(entries), 8)


class Schemas(unittest.TestCase):
    def test_json_object(self):
        answer = chat(response_format={"type": "json_object"}, max_tokens=200)
        if answer.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(answer.choices[0].message.content), dict)

    def test_pydantic_model(self):
        class Person(BaseModel):
            name: str
            age: int

        answer = client.beta.chat.completions.parse(
            model=MODEL, temperature=0, max_tokens=300, response_format=Person,
            messages=[{"role": "user", "content": "Ann is 31 years old. Who is it?"}])
        self.assertIsInstance(answer.choices[0].message.parsed, Person)

    def test_choice_and_regex(self):
        for body, fits in (({"guided_choice": ["red", "blue"]}, r"^(red|blue)$"),
                           ({"structured_outputs": {"regex": "[0-9]{4}"}}, r"^[0-9]{4}$"),
                           ({"response_format": {"type": "regex", "pattern": "(ab){2}c"}}, r"^ababc$")):
            answer = chat(extra_body=body)
            self.assertRegex(answer.choices[0].message.content, fits)

    def test_what_cannot_be_held_is_refused(self):
        for schema in ({"type": "string", "no_such_keyword": 1}, {"type": "strange"}):
            with self.assertRaises(openai.BadRequestError):
                chat(response_format={"type": "json_schema",
                                      "json_schema": {"name": "x", "schema": schema}})


class Tools(unittest.TestCase):
    def test_required_call_fits_its_schema(self):
        for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
            answer = chat(tools=[WEATHER], tool_choice=choice, max_tokens=200)
            self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
            call = answer.choices[0].message.tool_calls[0]
            self.assertEqual(call.function.name, "get_weather")
            arguments = json.loads(call.function.arguments)
            self.assertEqual(set(arguments), {"city", "unit"})
            self.assertIn(arguments["unit"], ("celsius", "fahrenheit"))

    def test_streamed_arguments_add_up(self):
        fields = {"tools": [WEATHER], "tool_choice": "required", "max_tokens": 200}
        whole = chat(**fields).choices[0].message.tool_calls[0].function
        name, arguments, pieces = "", "", 0
        for chunk in chat(stream=True, **fields):
            for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
                pieces += 1
        self.assertEqual((name, arguments), (whole.name, whole.arguments))
        self.assertGreater(pieces, 3)

    def test_a_whole_round(self):
        call = chat(tools=[WEATHER], tool_choice="required", max_tokens=200).choices[0].message
        answer = chat(tools=[WEATHER], messages=[
            *HELLO, call.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "21 degrees"}])
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length", "tool_calls"))

    def test_none_and_auto(self):
        none = chat(tools=[WEATHER], tool_choice="none")
        self.assertIsNone(none.choices[0].message.tool_calls)
        auto = chat(tools=[WEATHER], max_tokens=60)
        message = auto.choices[0].message
        self.assertTrue(message.content or message.tool_calls)

    def test_bad_tools(self):
        for fields in ({"tool_choice": "required"},
                       {"tools": [WEATHER, WEATHER]},
                       {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}},
                       {"tools": [{"type": "web_search"}]}):
            with self.assertRaises(openai.BadRequestError):
                chat(**fields)


class Responses(unittest.TestCase):
    def ask(self, **fields):
        fields = {"model": MODEL, "input": "Say hello.", "temperature": 0, "max_output_tokens": 24, **fields}
        return client.responses.create(**fields)

    def test_text(self):
        answer = self.ask(instructions="You are brief.")
        self.assertTrue(answer.output_text)
        self.assertEqual(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens)
        self.assertIn(answer.status, ("completed", "incomplete"))
        items = self.ask(input=[{"role": "user", "content": [{"type": "input_text", "text": "Say hello."}]}])
        self.assertEqual(items.output_text, self.ask().output_text)

    def test_events(self):
        whole = self.ask()
        kinds, text = [], ""
        for event in self.ask(stream=True):
            kinds.append(event.type)
            text += event.delta if event.type == "response.output_text.delta" else ""
            last = event
        self.assertEqual(kinds[:2], ["response.created", "response.in_progress"])
        self.assertIn(kinds[-1], ("response.completed", "response.incomplete"))
        self.assertEqual(text, whole.output_text)
        self.assertEqual(last.response.output_text, text)

    def test_schema(self):
        class Answer(BaseModel):
            colour: str

        parsed = client.responses.parse(model=MODEL, input="Name a colour.", temperature=0,
                                        max_output_tokens=300, text_format=Answer)
        self.assertIsInstance(parsed.output_parsed, Answer)

    def test_tools(self):
        tool = {"type": "function", "strict": True, **WEATHER["function"]}
        answer = self.ask(tools=[tool], tool_choice="required", max_output_tokens=200)
        call = answer.output[0]
        self.assertEqual((call.type, call.name), ("function_call", "get_weather"))
        json.loads(call.arguments)
        again = self.ask(tools=[tool], input=[
            {"role": "user", "content": "Weather?"}, call.model_dump(),
            {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}])
        self.assertTrue(again.output)

    def test_what_is_not_kept_is_refused(self):
        for fields in ({"previous_response_id": "resp_1"}, {"store": True}, {"background": True}):
            with self.assertRaises(openai.BadRequestError):
                self.ask(**fields)


if __name__ == "__main__":
    unittest.main()
