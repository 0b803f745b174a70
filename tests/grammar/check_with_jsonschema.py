#!/usr/bin/env python3
"""Judges texts written under random schemas with Python's jsonschema, the reference validator.

    LULL_GRAMMAR_TEXTS=FILE build/release/grammar_test --gtest_filter='RandomWalk*'
    check_with_jsonschema.py FILE

FILE has one "schema TAB text" a line, the text as a JSON string. Exits 1 where a text is outside its
schema, 2 where there is nothing to judge. Needs `pip install jsonschema[format]`.
"""
import json
import sys

import jsonschema


def main(path):
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    validators, texts, outside = {}, 0, 0
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            schema_text, text = line.rstrip("\n").split("\t")
            if schema_text not in validators:
                schema = json.loads(schema_text)
                validators[schema_text] = jsonschema.Draft202012Validator(
                    schema, format_checker=checker)
            texts += 1
            value = json.loads(json.loads(text))
            error = jsonschema.exceptions.best_match(
                validators[schema_text].iter_errors(value))
            if error is None:
                continue
            outside += 1
            print(f"{schema_text}\nwrote {json.loads(text)}\n{error.message}\n")
    print(f"{texts} texts under {len(validators)} schemas: {outside} outside")
    return 2 if texts == 0 else 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
