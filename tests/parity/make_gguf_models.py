#!/usr/bin/env python3
"""Writes gguf_models/*.json: what llama.cpp computes for tiny random GGUF files of every imported architecture. See README.md.

Needs the PyPI packages gguf and llama-cpp-python:  python3 tests/parity/make_gguf_models.py [CASE ...]

A case holds the file's metadata, its tensors as rules (type, shape, range; as in architectures/), token ids, and the logits of
some positions. K/V are kept in F32, and attention is computed plainly, so that nothing is rounded below single precision.
"""

import importlib.metadata
import json
import math
import os
import sys
import tempfile

import gguf
import numpy as np
from llama_cpp import Llama

from rule_numbers import numbers

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "gguf_models")
VOCABULARY = 64
NUM_TOKENS = 80
ROWS = [0, 9, 33, 57, 79]
HIDDEN, WIDTH, HEADS, KV_HEADS = 64, 96, 4, 2
GGML_TYPE_F32 = 0
FLASH_ATTENTION_OFF = 0

# What differs from a plain model: metadata without the architecture before it, and the size of a head.
CASES = {
    "llama": {"architecture": "llama"},
    "llama_yarn": {
        "architecture": "llama",
        "metadata": {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 32},
    },
    "qwen2": {"architecture": "qwen2", "tied": True},
    "qwen3": {"architecture": "qwen3", "head_dim": 32},
    "gemma3": {
        "architecture": "gemma3",
        "head_dim": 32,
        "layers": 3,
        "tied": True,
        "metadata": {
            "attention.sliding_window": 24,
            "attention.sliding_window_pattern": 2,
            "rope.freq_base": 1000000.0,
            "rope.scaling.type": "linear",
            "rope.scaling.factor": 8.0,
        },
    },
    "phi3": {"architecture": "phi3", "metadata": {"rope.scaling.original_context_length": 256}},
    "phi3_longrope": {
        "architecture": "phi3",
        "rotary_dim": 12,
        "metadata": {
            "rope.scaling.original_context_length": 64,
            # As the conversion computes it: √(1 + ln(256 / 64) / ln 64).
            "rope.scaling.attn_factor": math.sqrt(1 + math.log(4) / math.log(64)),
        },
    },
}


def metadata_of(case):
    name = case["architecture"]
    head_dim = case.get("head_dim", HIDDEN // HEADS)
    own = {
        "block_count": case.get("layers", 2),
        "context_length": 256,
        "embedding_length": HIDDEN,
        "feed_forward_length": WIDTH,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
    }
    if name in ("qwen3", "gemma3"):
        own |= {"attention.key_length": head_dim, "attention.value_length": head_dim}
    if name in ("llama", "phi3"):
        own["rope.dimension_count"] = case.get("rotary_dim", head_dim)
    own |= case.get("metadata", {})
    metadata = {"general.architecture": name} | {f"{name}.{key}": value for key, value in own.items()}
    words = ["<unk>", "<s>", "</s>"] + [chr(ord("a") + i % 26) * (1 + i // 26) for i in range(VOCABULARY - 3)]
    return metadata | {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.scores": [-float(i) for i in range(VOCABULARY)],
        "tokenizer.ggml.token_type": [2, 3, 3] + [1] * (VOCABULARY - 3),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def rules_of(case):
    """NAME: [type, shape, low, high, layers]: ranges that keep activations near one, so that no part vanishes in the result."""
    name = case["architecture"]
    layers = case.get("layers", 2)
    head_dim = case.get("head_dim", HIDDEN // HEADS)
    q_size, kv_size = HEADS * head_dim, KV_HEADS * head_dim
    rules = {}

    def matrix(tensor, rows, columns, limit=None):
        limit = round(limit or 1.7 / math.sqrt(columns), 4)
        rules[tensor + ".weight"] = ["F32", [rows, columns], -limit, limit]

    def vector(tensor, size, low, high):
        rules[tensor] = ["F32", [size], low, high]

    def norm(tensor, size):
        vector(tensor + ".weight", size, 0.7, 1.3)

    matrix("token_embd", VOCABULARY, HIDDEN, 1.0)
    norm("output_norm", HIDDEN)
    if not case.get("tied"):
        matrix("output", VOCABULARY, HIDDEN, 0.6375)
    if "rotary_dim" in case:
        vector("rope_factors_long.weight", case["rotary_dim"] // 2, 1.0, 4.0)
        vector("rope_factors_short.weight", case["rotary_dim"] // 2, 0.9, 1.1)
    norm("blk.*.attn_norm", HIDDEN)
    norm("blk.*.ffn_norm", HIDDEN)
    if name == "phi3":
        matrix("blk.*.attn_qkv", q_size + 2 * kv_size, HIDDEN)
        matrix("blk.*.ffn_up", 2 * WIDTH, HIDDEN)
    else:
        for part, size in (("q", q_size), ("k", kv_size), ("v", kv_size)):
            matrix(f"blk.*.attn_{part}", size, HIDDEN)
            if name == "qwen2":
                vector(f"blk.*.attn_{part}.bias", size, -0.3, 0.3)
        matrix("blk.*.ffn_gate", WIDTH, HIDDEN)
        matrix("blk.*.ffn_up", WIDTH, HIDDEN)
    matrix("blk.*.attn_output", HIDDEN, q_size)
    matrix("blk.*.ffn_down", HIDDEN, WIDTH)
    if name in ("qwen3", "gemma3"):
        norm("blk.*.attn_q_norm", head_dim)
        norm("blk.*.attn_k_norm", head_dim)
    if name == "gemma3":
        norm("blk.*.post_attention_norm", HIDDEN)
        norm("blk.*.post_ffw_norm", HIDDEN)
    return {key: rule + [layers] if "*" in key else rule for key, rule in sorted(rules.items())}


def write_gguf(path, metadata, rules):
    writer = gguf.GGUFWriter(path, metadata["general.architecture"])
    for key, value in metadata.items():
        if key == "general.architecture":
            continue
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_array(key, value)
    for key, (_, shape, low, high, *layers) in rules.items():
        for i in range(layers[0]) if layers else [None]:
            name = key.replace("*", str(i))
            uniform = (numbers(name, math.prod(shape)) >> np.uint64(11)).astype(np.float64) * 2.0**-53
            writer.add_tensor(name, (low + (high - low) * uniform).astype(np.float32).reshape(shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits_of(path, tokens):
    # 256 tokens: the context for which phi3's factors for long ones hold.
    model = Llama(path, n_ctx=256, logits_all=True, n_threads=1, type_k=GGML_TYPE_F32, type_v=GGML_TYPE_F32,
                  flash_attn=False, verbose=False)
    model.eval(tokens)
    return np.array(model.scores[:len(tokens)])


def write_case(name):
    case = CASES[name]
    metadata, rules = metadata_of(case), rules_of(case)
    tokens = [int(word % np.uint64(VOCABULARY)) for word in numbers("tokens of " + name, NUM_TOKENS)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name + ".gguf")
        write_gguf(path, metadata, rules)
        logits = logits_of(path, tokens)
    print(name, "largest |logit|", np.abs(logits).max(), "deviation", logits.std())
    rows = [[float(f"{logit:.6g}") for logit in logits[row]] for row in ROWS]
    with open(os.path.join(FOLDER, name + ".json"), "w", encoding="utf-8") as out:
        out.write('{\n "metadata": {\n')
        out.write(",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in metadata.items()))
        out.write('\n },\n "tensors": {\n')
        out.write(",\n".join(f"  {json.dumps(key)}: {json.dumps(rule)}" for key, rule in rules.items()))
        out.write(f'\n }},\n "tokens": {json.dumps(tokens)},\n "rows": {json.dumps(ROWS)},\n "logits": [\n')
        out.write(",\n".join("  " + json.dumps(row) for row in rows))
        made_with = {"gguf": importlib.metadata.version("gguf"), "llama-cpp-python": importlib.metadata.version("llama-cpp-python")}
        out.write(f'\n ],\n "made_with": {json.dumps(made_with)}\n}}\n')


def main():
    os.makedirs(FOLDER, exist_ok=True)
    for name in sys.argv[1:] or CASES:
        write_case(name)


if __name__ == "__main__":
    main()
