#!/usr/bin/env python3
"""Compares Lull on files that llama.cpp's own converters write with what the transformers library computes.

  compare_converters.py --build build/release --llama-cpp SOURCES [NAME...]

The tiny folders of compare_safetensors.py, and adapters of them that the peft library saves, go through convert_hf_to_gguf.py's
classes and convert_lora_to_gguf.py; logits_dump computes from the GGUF files. Their keys and tensors are those of the files that
people download. Exits 1 where the cosine at any position is below --limit. SOURCES: the first line that tools/build_llama_cpp.sh
prints. Packages as in compare_safetensors.py, and sentencepiece, which the converters import.
"""
import argparse
import json
import logging
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import compare_safetensors as hub

CONVERTER_REQUIREMENTS = ["--no-deps", "sentencepiece==0.2.3", "protobuf==7.36.2"]
# Beside the cases' own: what the converters take from elsewhere than config.json, or assume.
CHANGES = {"granite": {"head_dim": None, "hidden_size": 192}, "gemma2": {"query_pre_attn_scalar": 32},
           "gemma3_text": {"query_pre_attn_scalar": 32}, "gemma3, with images": {"query_pre_attn_scalar": 32}}
NO_ADAPTERS = ("deepseek_v2", "qwen3_5_text", "qwen3_5_moe_text", "granitemoehybrid", "gemma4_text")  # convert_lora_to_gguf.py's
LEFT_OUT = {"mistral, window": "the converter drops the window", "gemma3_text, other layers": "the converter drops the order of layers",
            "ministral3": "the converter takes tokenizers that it knows", "granitemoehybrid, dense": "the converter drops the rotation"}


def write_vocabulary(self):
    """In place of tokenizers, which the converter knows by their hash."""
    tokenizer = hub.tokenizer_json()
    texts = [f"[unused{i}]" for i in range(hub.VOCAB)]
    types = [5] * hub.VOCAB
    for token in tokenizer["added_tokens"]:
        texts[token["id"]], types[token["id"]] = token["content"], 3
    for text, i in tokenizer["model"]["vocab"].items():
        texts[i], types[i] = text, 1
    writer = self.gguf_writer
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(texts)
    writer.add_token_types(types)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def convert(folder, out):
    import gguf
    import torch
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class
    with torch.inference_mode():
        hparams = ModelBase.load_hparams(folder, False)
        known = get_model_class(get_model_architecture(hparams, ModelType.TEXT), mmproj=False)
        ours = type(known.__name__, (known,),
                    {"set_vocab": write_vocabulary, "model_arch": known.model_arch, "no_mtp": True})
        ours(folder, gguf.LlamaFileType.ALL_F32, out).write()


def convert_adapter(sources, base, folder, out):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, sources / "convert_lora_to_gguf.py", folder, "--base", base, "--outfile", out,
                             "--outtype", "f32"], capture_output=True, text=True, env=environment, check=False)
    if result.returncode != 0:
        raise RuntimeError("convert_lora_to_gguf.py: " + result.stderr.strip().splitlines()[-1])


def to_converters_keys(folder, model_type):
    """config.json with what the converter reads and the library no longer writes."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    if model_type == "cohere2":
        config["rotary_pct"] = 1.0
    if model_type == "granitemoehybrid":
        names = {"linear_attention": "mamba", "full_attention": "attention"}
        config["layer_types"] = [names.get(kind, kind) for kind in config["layer_types"]]
    path.write_text(json.dumps(config))


def compare(args, name, work):
    """Rows of (what, lowest cosine or why there is none)."""
    model_type, changes = hub.CASES[name]
    folder, blocks = work / "Tiny", work / "Blocks"
    changes = {**changes, **CHANGES.get(name, {})}
    if model_type == "gemma4_text":
        changes["vocab_size_per_layer_input"] = hub.VOCAB
    hub.make_folder(folder, model_type, changes, args.seed)
    if model_type == "gpt_oss":
        hub.to_blocks(folder, blocks, args.seed)
    ids, want = hub.compute(folder, args.seed)
    source = blocks if blocks.exists() else folder
    adapted = None
    if not blocks.exists() and model_type not in NO_ADAPTERS:
        adapted, _ = hub.adapt(folder, work / "Adapter", hub.ADAPTERS["mixers"], ids, args.seed)
    to_converters_keys(source, model_type)
    convert(source, work / "tiny.gguf")
    got = hub.logits_of(args, work / "tiny.gguf", ids, work, exact=blocks.exists())
    yield "model", float(hub.cosines(want, got).min())
    if adapted is None:
        return
    convert_adapter(args.llama_cpp, source, work / "Adapter", work / "lora.gguf")
    got = hub.logits_of(args, work / "tiny.gguf", ids, work, lora=work / "lora.gguf")
    yield "adapter", float(hub.cosines(adapted, got).min())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"), help="has logits_dump")
    parser.add_argument("--llama-cpp", type=pathlib.Path, required=True)
    parser.add_argument("--limit", type=float, default=0.9999)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    hub.provide_packages(adapters=True)
    hub.provide(pathlib.Path.home() / ".cache/lull/converters", CONVERTER_REQUIREMENTS)
    for folder in (args.llama_cpp, args.llama_cpp / "gguf-py"):
        sys.path.insert(0, str(folder))
    from transformers.utils import logging as hub_logging
    hub_logging.set_verbosity_error()
    hub_logging.disable_progress_bar()
    logging.disable(logging.CRITICAL)
    random.seed(args.seed)
    vocab, good = hub.VOCAB, True
    for name in args.names or hub.CASES:
        if name in LEFT_OUT:
            print(f"{name:36} left out: {LEFT_OUT[name]}", flush=True)
            continue
        # Gemma's converter keeps the rows that the tokenizer has.
        hub.VOCAB = hub.SHAPE["vocab_size"] = 259 if name.startswith(("gemma3", "gemma4")) else vocab
        with tempfile.TemporaryDirectory() as work:
            for what, cosine in compare(args, name, pathlib.Path(work)):
                print(f"{name:36} {what:8} cosine_min {cosine:.7f}{'' if cosine > args.limit else '  LOW'}", flush=True)
                good &= cosine > args.limit
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
