#!/usr/bin/env python3
"""Compares what becomes of Hugging Face folders with what the transformers library computes from them.

  compare_safetensors.py --build build/release [--table] [NAME...]

For every row of CASES a tiny folder of random weights is made by transformers' own classes. transformers computes
the logits of a random prompt and of its own greedy continuation, in F32; `lull convert` writes the folder as GGUF, and
logits_dump computes the same from that. Exits 1 where the cosine at any position is below --limit, a greedy token
differs, or the folder with the keys of config.json as older versions of the library wrote them gives another file.
--defects exchanges what a converter may confuse, and exits 1 where a defect would have passed.
--adapters has the peft library adapt each of the models in the ways of ADAPTERS and save that, and compares its logits with
those of what `lull convert --base` makes of it.

Where the packages are not to be imported they are fetched, about 3 GB, into ~/.cache/lull/transformers
(LULL_TRANSFORMERS: another folder), those of --adapters beside it.
"""
import argparse
import filecmp
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

REQUIREMENTS = ["torch==2.15.0", "transformers==5.23.0", "numpy"]
PEFT_REQUIREMENTS = ["--no-deps", "peft==0.21.2", "accelerate==1.15.0", "psutil==7.2.2"]  # the rest is there then
PROMPT, CONTINUATION, VOCAB = 32, 16, 331


def provide(folder, requirements):
    mark = folder / ".requirements"
    if not mark.exists() or mark.read_text() != " ".join(requirements):
        print(f"fetching {' '.join(requirements)} into {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir",
                        "--upgrade", "--target", folder, *requirements], check=True,
                       env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"})
        mark.write_text(" ".join(requirements))
    sys.path.insert(0, str(folder))


def provide_packages(adapters):
    folder = pathlib.Path(os.environ.get("LULL_TRANSFORMERS") or pathlib.Path.home() / ".cache/lull/transformers")
    provide(folder, REQUIREMENTS)
    if adapters:
        provide(folder.with_name(folder.name + "_peft"), PEFT_REQUIREMENTS)


# What the tiny models share: heads of another width than hidden_size / heads, groups of three, an odd vocabulary.
SHAPE = {"vocab_size": VOCAB, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 3,
         "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 256,
         "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
LONGROPE = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0 + i / 16 for i in range(16)],
            "long_factor": [1.0 + i for i in range(16)]}
IMAGES = {"vision_config": {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                            "image_size": 28, "patch_size": 14}, "mm_tokens_per_image": 4, "image_token_index": 5,
          "boi_token_index": 3, "eoi_token_index": 4}
LINEAR = {"rope_type": "linear", "rope_theta": 50000.0, "factor": 4.0}
NO_HEADS = {"intermediate_size": None, "num_attention_heads": None, "num_key_value_heads": None, "head_dim": None,
            "max_position_embeddings": None}
HYBRID = {"head_dim": None, "hidden_size": 192, "layer_types": ["linear_attention", "full_attention", "linear_attention"],
          "shared_intermediate_size": 96, "mamba_n_heads": 6, "mamba_d_head": 64, "mamba_d_state": 16, "mamba_n_groups": 1,
          "embedding_multiplier": 3.0, "attention_multiplier": 0.1, "position_embedding_type": "nope"}
LATENT = {"head_dim": None, "num_key_value_heads": 6, "n_routed_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
          "n_shared_experts": 2, "kv_lora_rank": 64, "q_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32,
          "v_head_dim": 48, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
DELTA = {"num_hidden_layers": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 32,
         "linear_value_head_dim": 32, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}}

GEMMA4 = {"num_hidden_layers": 6, "sliding_window": 11, "layer_types": ["sliding_attention", "full_attention"] * 3,
          "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": VOCAB, "global_head_dim": 64,
          "num_global_key_value_heads": 1, "final_logit_softcapping": 30.0}
LAYER_EMBEDDINGS = {**GEMMA4, "hidden_size_per_layer_input": 32, "num_kv_shared_layers": 2}

# Name: model_type and what its configuration has beside SHAPE. "dtype": of the files, F32 where it is missing.
CASES = {
    "llama": ("llama", {}),
    "llama, BF16": ("llama", {"dtype": "bfloat16"}),
    "llama, F16": ("llama", {"dtype": "float16"}),
    "llama, llama3 scaling": ("llama", {"rope_parameters": LLAMA3, "tie_word_embeddings": True}),
    "llama, linear scaling": ("llama", {"rope_parameters": LINEAR}),
    "llama, biases": ("llama", {"attention_bias": True}),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral, window": ("mistral", {"sliding_window": 11}),
    "mixtral": ("mixtral", {"num_local_experts": 5, "num_experts_per_tok": 2}),
    "granite": ("granite", {"embedding_multiplier": 3.0, "residual_multiplier": 0.4, "attention_multiplier": 0.1,
                            "logits_scaling": 2.0}),
    "granitemoe": ("granitemoe", {"head_dim": None, "hidden_size": 192, "num_local_experts": 5, "num_experts_per_tok": 2,
                                  "embedding_multiplier": 3.0, "attention_multiplier": 0.1}),
    "granitemoeshared": ("granitemoeshared", {"head_dim": None, "hidden_size": 192, "num_local_experts": 5,
                                              "num_experts_per_tok": 2, "shared_intermediate_size": 96,
                                              "logits_scaling": 2.0}),
    "olmo2": ("olmo2", {"head_dim": None, "hidden_size": 192}),
    "qwen2": ("qwen2", {"head_dim": None, "hidden_size": 192}),
    "qwen3": ("qwen3", {}),
    "qwen3, YaRN": ("qwen3", {"rope_parameters": YARN}),
    "qwen3_moe": ("qwen3_moe", {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "norm_topk_prob": True}),
    "ministral3": ("ministral3", {"rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.3}}),
    "olmo3, YaRN": ("olmo3", {"head_dim": None, "hidden_size": 192, "sliding_window": 11, "num_hidden_layers": 4,
                              "rope_parameters": {"full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}),
    "olmo3": ("olmo3", {"head_dim": None, "hidden_size": 192, "num_hidden_layers": 5, "sliding_window": 11}),
    "qwen3_5_text": ("qwen3_5_text", DELTA),
    "qwen3_5_text, two V a K": ("qwen3_5_text", {**DELTA, "linear_num_value_heads": 4, "tie_word_embeddings": True}),
    "qwen3_5_moe_text": ("qwen3_5_moe_text", {**DELTA, "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
                                              "shared_expert_intermediate_size": 96, "linear_num_value_heads": 6}),
    "cohere2": ("cohere2", {"head_dim": None, "hidden_size": 192, "sliding_window": 11, "num_hidden_layers": 5, "logit_scale": 0.25}),
    "glm4": ("glm4", {"attention_bias": True}),
    "gpt_oss, MXFP4, in double precision": ("gpt_oss", {"sliding_window": 11, "num_local_experts": 5, "num_experts_per_tok": 2, "num_hidden_layers": 4,
                                   "rope_parameters": {**YARN, "rope_theta": 150000.0, "truncate": False, "factor": 32.0,
                                                       "original_max_position_embeddings": 4096}}),
    "deepseek_v2": ("deepseek_v2", {**LATENT}),
    "deepseek_v2, YaRN, no low rank of Q": ("deepseek_v2", {**LATENT, "q_lora_rank": None, "rope_parameters": {
        **YARN, "mscale": 0.707, "mscale_all_dim": 0.707}, "routed_scaling_factor": 1.5}),
    "lfm2": ("lfm2", {"head_dim": None, "hidden_size": 192, "layer_types": ["conv", "full_attention", "conv"]}),
    "lfm2_moe": ("lfm2_moe", {"head_dim": None, "hidden_size": 192, "layer_types": ["conv", "full_attention", "conv"],
                              "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "num_dense_layers": 1}),
    "mamba": ("mamba", {**NO_HEADS, "state_size": 8}),
    "mamba2": ("mamba2", {**NO_HEADS, "state_size": 16, "num_heads": 6, "head_dim": 32, "n_groups": 1}),
    "granitemoehybrid": ("granitemoehybrid", {**HYBRID, "num_local_experts": 5, "num_experts_per_tok": 2}),
    "granitemoehybrid, dense": ("granitemoehybrid", {**HYBRID, "num_local_experts": 0, "position_embedding_type": "rope"}),
    "smollm3": ("smollm3", {"num_hidden_layers": 5}),
    "phi3": ("phi3", {"head_dim": None, "hidden_size": 192, "sliding_window": 2047}),
    "phi3, longrope, short": ("phi3", {"head_dim": None, "hidden_size": 192, "rope_parameters": LONGROPE,
                                       "original_max_position_embeddings": 200, "max_position_embeddings": 1024}),
    "phi3, longrope, long": ("phi3", {"head_dim": None, "hidden_size": 192, "rope_parameters": LONGROPE,
                                      "original_max_position_embeddings": 24, "max_position_embeddings": 1024}),
    "phi3, part of a head": ("phi3", {"head_dim": None, "hidden_size": 192, "partial_rotary_factor": 0.75}),
    "gemma2": ("gemma2", {"sliding_window": 11, "query_pre_attn_scalar": 24, "num_hidden_layers": 4}),
    "gemma3_text": ("gemma3_text", {"sliding_window": 11, "query_pre_attn_scalar": 24, "num_hidden_layers": 7}),
    "gemma3, with images": ("gemma3", {"sliding_window": 11, "query_pre_attn_scalar": 24, "num_hidden_layers": 7, "images": IMAGES}),
    "gemma4_text": ("gemma4_text", GEMMA4),
    "gemma4_text, V is K": ("gemma4_text", {**GEMMA4, "attention_k_eq_v": True}),
    "gemma4_text, embeddings of layers": ("gemma4_text", LAYER_EMBEDDINGS),
    "gemma4_text, wide layers": ("gemma4_text", {**LAYER_EMBEDDINGS, "use_double_wide_mlp": True}),
    "gemma4_text, experts": ("gemma4_text", {**GEMMA4, "enable_moe_block": True, "num_experts": 5, "top_k_experts": 2,
                                             "moe_intermediate_size": 64, "attention_k_eq_v": True}),
    "gemma3_text, other layers": ("gemma3_text", {"sliding_window": 11, "layer_types": ["full_attention"] + ["sliding_attention"] * 2}),
}


# What peft's LoraConfig is told beside that nothing starts at zero.
NOT_EXPERTS = r".*(self_attn|linear_attn|mamba|conv|shared_experts?|shared_mlp|feed_forward)\.(\w+_proj\w*|\w+_linear|w[123])"
MIXERS = ["q_proj", "k_proj", "v_proj", "o_proj", "in_proj", "out_proj", "x_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa",
          "qkv_proj", "in_proj_qkv", "in_proj_z"]
OF_MAMBA = ["in_proj", "x_proj"]  # the library reads the weights of the others itself, past their adapters
ADAPTERS = {
    "every linear module": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"},
    "every linear module but experts": {"r": 4, "lora_alpha": 8, "target_modules": NOT_EXPERTS},
    "mixers": {"r": 4, "lora_alpha": 8, "target_modules": MIXERS},
    "mixers of two layers, rsLoRA, patterns": {
        "r": 3, "lora_alpha": 5, "use_rslora": True, "target_modules": MIXERS, "layers_to_transform": [0, 2],
        "rank_pattern": {"q_proj": 7, "layers.2.self_attn.o_proj": 2}, "alpha_pattern": {"v_proj": 9, "layers.2.self_attn.q_proj": 3}},
}


def tokenizer_json():
    """Byte-level pieces without a merge; the ids that are compared do not come from it."""
    printable = [b for b in range(256) if 0x21 <= b <= 0x7E or (b >= 0xA1 and b != 0xAD)]
    signs = [chr(b) for b in printable] + [chr(0x100 + i) for i in range(256 - len(printable))]
    special = [{"id": i, "content": text, "special": True} for i, text in enumerate(["<pad>", "<s>", "</s>"])]
    return {"added_tokens": special, "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            "model": {"type": "BPE", "vocab": {sign: i + len(special) for i, sign in enumerate(signs)}, "merges": []}}


def randomize(model, seed):
    """Weights under which every part counts: scores and activations of about one, no norm or bias at its start."""
    import torch
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.dim() > 1 and "conv1d" not in name and "A_log" not in name:
                weight.copy_(noise / weight.shape[-1] ** 0.5)
            else:
                weight.add_(noise * 0.3)


def load_model(folder):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
    reader = AutoModelForCausalLM if not hasattr(AutoConfig.from_pretrained(folder), "text_config") else AutoModelForImageTextToText
    return reader.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def compute(folder, seed):
    """Ids of a prompt and its greedy continuation, and the logits at every position: of the folder as it was saved."""
    import torch
    model = load_model(folder)
    source = random.Random(seed)
    ids = [source.randrange(VOCAB) for _ in range(PROMPT)]
    with torch.no_grad():
        for _ in range(CONTINUATION):
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    return ids, logits.double().numpy()


def make_folder(folder, model_type, changes, seed):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
    shape = {key: value for key, value in {**SHAPE, **changes}.items() if value is not None or key not in SHAPE}
    dtype = shape.pop("dtype", "float32")
    torch.manual_seed(seed)
    images = shape.pop("images", None)
    if images is None:
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **shape), dtype=torch.float32)
    else:
        config = AutoConfig.for_model(model_type, text_config=shape, **images)
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    randomize(model, seed)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json()))


def to_blocks(folder, target, seed):
    """A folder of gpt-oss whose experts are blocks of four bits with scales, as its own files are; the folder itself gets what
    those stand for, which is what the library reads without a GPU."""
    import shutil
    import torch
    from safetensors.torch import load_file, save_file
    weights, hub = load_file(folder / "model.safetensors"), {}
    levels = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
    generator = torch.Generator().manual_seed(seed)
    for name, weight in weights.items():
        if not name.endswith("_proj") or ".experts." not in name:
            hub[name] = weight
            continue
        experts, inputs, outputs = weight.shape
        blocks = torch.randint(0, 256, (experts, outputs, inputs // 32, 16), generator=generator, dtype=torch.uint8)
        scales = torch.randint(121, 125, (experts, outputs, inputs // 32), generator=generator, dtype=torch.uint8)
        values = torch.stack([levels[(blocks & 15).long()], levels[(blocks >> 4).long()]], -1).flatten(-2)
        values = values * torch.exp2(scales.float() - 127).unsqueeze(-1)
        weights[name] = values.reshape(experts, outputs, inputs).transpose(1, 2).contiguous()
        hub[name + "_blocks"], hub[name + "_scales"] = blocks, scales
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    shutil.copytree(folder, target)
    save_file(hub, target / "model.safetensors", {"format": "pt"})
    config = json.loads((target / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4"}
    (target / "config.json").write_text(json.dumps(config))


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{pathlib.Path(command[0]).name} exits {result.returncode}: {result.stderr.strip()[-400:]}")


def logits_of(args, gguf, ids, work, exact=False, lora=None):
    """exact: by the double-precision pass of the tests, since products with blocks of four bits round activations too."""
    import numpy
    tokens, out = work / "tokens", work / "logits"
    tokens.write_text(" ".join(map(str, ids)))
    run(args.build / "logits_dump", gguf, tokens, out, *(["--reference"] if exact else ["--kv", "f32"]),
        *(["--lora", lora] if lora else []))
    return numpy.fromfile(out, numpy.float32).reshape(len(ids), -1)[:, :VOCAB].astype(numpy.float64)


def cosines(a, b):
    return (a * b).sum(1) / ((a * a).sum(1) * (b * b).sum(1)) ** 0.5


def to_old_keys(config):
    """config.json as the library wrote it before it joined what rotation needs."""
    rope = config.pop("rope_parameters", None)
    if rope is not None and "full_attention" in rope:
        if rope["sliding_attention"]["rope_theta"] != rope["full_attention"]["rope_theta"]:
            config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    if rope is None:
        return config
    config["rope_theta"] = rope.pop("rope_theta")
    if "partial_rotary_factor" in rope:
        config["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    return config


def same_with_old_keys(args, folder, gguf, work):
    path = folder / "config.json"
    path.write_text(json.dumps(to_old_keys(json.loads(path.read_text()))))
    run(args.build / "lull", "convert", folder, "--out", work / "old.gguf")
    return filecmp.cmp(gguf, work / "old.gguf", shallow=False)


def compare(args, name, work):
    model_type, changes = CASES[name]
    folder = work / "Tiny"
    make_folder(folder, model_type, changes, args.seed)
    if model_type == "gpt_oss":
        dense, folder = folder, work / "Blocks"
        to_blocks(dense, folder, args.seed)
        ids, want = compute(dense, args.seed)
    else:
        ids, want = compute(folder, args.seed)
    run(args.build / "lull", "convert", folder, "--out", work / "tiny.gguf")
    got = logits_of(args, work / "tiny.gguf", ids, work, exact=model_type == "gpt_oss")
    cos = cosines(want, got)
    greedy = int((got.argmax(1)[PROMPT - 1:-1] == ids[PROMPT:]).sum())
    row = {"folder": name, "positions": len(ids), "cosine_min": float(cos.min()), "greedy": f"{greedy} of {CONTINUATION}",
           "old_keys": same_with_old_keys(args, folder, work / "tiny.gguf", work)}
    row["good"] = row["cosine_min"] > args.limit and greedy == CONTINUATION and row["old_keys"]
    return row


def swap_tensors(first, second):
    def apply(tensors):
        for name in [name for name in tensors if first in name and ".1." in name]:
            other = name.replace(first, second)
            if other in tensors and tensors[other].shape == tensors[name].shape:
                tensors[name], tensors[other] = tensors[other], tensors[name]
                return True
        return False
    return apply


def swap_halves(ending):
    """Of each pair of neighbours the first for the second: what a wrong order of a head's rows does."""
    def apply(tensors):
        for name in [name for name in tensors if name.endswith(ending) and ".1." in name]:
            rows = tensors[name]
            tensors[name] = rows.reshape(-1, 2, *rows.shape[1:]).flip(1).reshape(rows.shape).contiguous()
            return True
        return False
    return apply


DEFECTS = {"rows of Q exchanged": swap_halves("q_proj.weight"), "rows of K exchanged": swap_halves("k_proj.weight"),
           "gate and up exchanged": swap_tensors("gate_proj", "up_proj"),
           "two norms exchanged": swap_tensors("input_layernorm", "post_attention_layernorm"),
           "norms of Q and K exchanged": swap_tensors("q_norm", "k_norm")}


def measure_defects(args, name, work):
    from safetensors.torch import load_file, save_file
    model_type, changes = CASES[name]
    folder = work / "Tiny"
    make_folder(folder, model_type, changes, args.seed)
    ids, want = compute(folder, args.seed)
    weights = load_file(folder / "model.safetensors")
    passed = 0
    for defect, apply in DEFECTS.items():
        broken = dict(weights)
        if not apply(broken):
            continue
        save_file(broken, folder / "model.safetensors", {"format": "pt"})
        run(args.build / "lull", "convert", folder, "--out", work / "broken.gguf")
        lowest = float(cosines(want, logits_of(args, work / "broken.gguf", ids, work)).min())
        passed += lowest > args.limit
        print(f"{name:28} {defect:30} cosine_min {lowest:.6f}", flush=True)
    return passed == 0


def adapt(folder, out, ways, ids, seed):
    """Logits of the folder's model with an adapter of random numbers, which is saved; without it they are others."""
    import torch
    from peft import LoraConfig, get_peft_model
    model = load_model(folder)
    if model.config.model_type in ("mamba", "mamba2"):
        ways = {**ways, "target_modules": OF_MAMBA}
    model = get_peft_model(model, LoraConfig(**ways, init_lora_weights=False)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.copy_(0.7 * torch.randn(weight.shape, generator=generator) / weight.shape[-1] ** 0.5)
        adapted = model(torch.tensor([ids]), use_cache=False).logits[0].double().numpy()
        with model.disable_adapter():
            plain = model(torch.tensor([ids]), use_cache=False).logits[0].double().numpy()
    model.save_pretrained(out)
    return adapted, plain


def compare_adapter(args, name, way, work):
    """A row; its reason says what the peft library has no adapters of, or Lull refuses."""
    model_type, changes = CASES[name]
    folder, blocks = work / "Tiny", work / "Blocks"
    make_folder(folder, model_type, changes, args.seed)
    if model_type == "gpt_oss":
        to_blocks(folder, blocks, args.seed)
    ids = [random.Random(args.seed + i).randrange(VOCAB) for i in range(PROMPT + CONTINUATION)]
    try:
        want, plain = adapt(folder, work / "Adapter", ADAPTERS[way], ids, args.seed)
    except ValueError as error:
        return {"reason": "peft: " + " ".join(str(error).split())[:100], "good": True}
    run(args.build / "lull", "convert", blocks if blocks.exists() else folder, "--out", work / "tiny.gguf")
    if json.loads((work / "Adapter/adapter_config.json").read_text())["target_parameters"]:
        return {"reason": "refused: experts", "good": refuses(args, work, "target_parameters")}
    run(args.build / "lull", "convert", work / "Adapter", "--base", work / "tiny.gguf", "--out", work / "lora.gguf")
    cos = cosines(want, logits_of(args, work / "tiny.gguf", ids, work, lora=work / "lora.gguf"))
    # Products with blocks of four bits round activations, so that a near-tie of experts may fall otherwise.
    lowest = float(sorted(cos)[len(cos) // 2] if blocks.exists() else cos.min())
    to_plain = float(cosines(want, plain).max())
    return {"cosine": lowest, "to_plain": to_plain,
            "good": to_plain < 0.999 and lowest > (0.999 if blocks.exists() else args.limit)}


def refuses(args, work, word):
    try:
        run(args.build / "lull", "convert", work / "Adapter", "--base", work / "tiny.gguf", "--out", work / "lora.gguf")
    except RuntimeError as error:
        return word in str(error)
    return False


def compare_adapters(args, name):
    good = True
    for way in ADAPTERS:
        with tempfile.TemporaryDirectory() as work:
            try:
                row = compare_adapter(args, name, way, pathlib.Path(work))
            except RuntimeError as error:
                row = {"reason": str(error).replace("\n", " "), "good": False}
        text = row.get("reason") or f"cosine {row['cosine']:.7f}, of the model without it {row['to_plain']:.4f}"
        print(f"{name:36} {way:40} {text}{'' if row['good'] else '  WRONG'}", flush=True)
        good &= row["good"]
    return good


def print_row(args, row):
    if "reason" in row:
        print(f"| {row['folder']} | - | - | {row['reason']} |" if args.table else f"{row['folder']:28} {row['reason']}")
        return
    note = "" if row["old_keys"] else "another file with old keys"
    if args.table:
        print(f"| {row['folder']} | {row['cosine_min']:.7f} | {row['greedy']} | {note} |", flush=True)
    else:
        print(f"{row['folder']:28} cosine_min {row['cosine_min']:.7f}  greedy {row['greedy']}  {note}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"), help="has lull and logits_dump")
    parser.add_argument("--limit", type=float, default=0.9999)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--defects", action="store_true", help="show that seeded defects are caught")
    parser.add_argument("--adapters", action="store_true", help="compare adapters that the peft library saves")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    args = parser.parse_args()
    provide_packages(args.adapters)
    from transformers.utils import logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    good = True
    if args.table:
        print("| folder | lowest cosine | greedy tokens | note |\n|---|---|---|---|")
    for name in args.names or CASES:
        if args.adapters:
            good &= compare_adapters(args, name)
            continue
        with tempfile.TemporaryDirectory() as work:
            if args.defects:
                good &= measure_defects(args, name, pathlib.Path(work))
                continue
            try:
                row = compare(args, name, pathlib.Path(work))
            except RuntimeError as error:
                row = {"folder": name, "reason": str(error).replace("\n", " "), "good": False}
            print_row(args, row)
            good &= row["good"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
