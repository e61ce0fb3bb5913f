#!/usr/bin/env python3
"""Writes demo_logits.safetensors: what mlx-lm computes for the demo model in single precision. See README.md.

Needs mlx (CPU is enough) and mlx-lm:  python3 tests/parity/make_demo_logits.py [MODEL_FOLDER]
"""

import hashlib
import importlib.metadata
import json
import os
import sys

import mlx.core as mx
import numpy as np
from mlx_lm import load

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT_MODEL = os.path.expanduser("~/.mlxd/models/SmolLM2-135M-Instruct-4bit")
NUM_TOP = 256
STRIDE = 8
TEACHER_POSITIONS = 2000


def to_single_precision(model):
    """Replaces every quantized module by a dense one of the same values, and casts all the rest."""
    import mlx.nn as nn
    from mlx.utils import tree_unflatten

    replacements = []
    for name, module in model.named_modules():
        if not hasattr(module, "scales"):
            continue
        # Scales are cast first: dequantizing in half precision would round every weight.
        weight = mx.dequantize(module.weight, module.scales.astype(mx.float32), module.biases.astype(mx.float32),
                               group_size=module.group_size, bits=module.bits)
        if isinstance(module, nn.QuantizedEmbedding):
            dense = nn.Embedding(*weight.shape)
        else:
            dense = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in module)
            if "bias" in module:
                dense.bias = module.bias
        dense.weight = weight
        replacements.append((name, dense))
    model.update_modules(tree_unflatten(replacements))
    model.set_dtype(mx.float32)


def logits_of(model, tokens):
    """[tokens, vocabulary], in double precision for what is derived from them."""
    logits = model(mx.array([tokens]))[0]
    assert logits.dtype == mx.float32
    return np.array(logits)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_MODEL
    mx.set_default_device(mx.cpu)
    model, tokenizer = load(folder)
    to_single_precision(model)
    with open(os.path.join(HERE, "text.txt"), encoding="utf-8") as file:
        text = tokenizer.encode(file.read(), add_special_tokens=False)
    assert len(text) > TEACHER_POSITIONS
    prompts = {
        "prompt_5": tokenizer.encode("The capital of France is", add_special_tokens=False),
        "prompt_100": text[:100],
        "prompt_1000": text[500:1500],
    }
    out = {}
    for name, tokens in prompts.items():
        assert len(tokens) == int(name.split("_")[1])
        last = logits_of(model, tokens)[-1]
        top = np.argsort(-last, kind="stable")[:NUM_TOP]
        out[name + ".tokens"] = np.array(tokens, np.int32)
        out[name + ".top_ids"] = top.astype(np.int32)
        out[name + ".top_logits"] = last[top]
        out[name + ".strided_logits"] = last[::STRIDE].copy()
        print(name, "->", repr(tokenizer.decode([int(top[0])])), "largest |logit|", np.abs(last).max())

    logits = logits_of(model, text[:TEACHER_POSITIONS]).astype(np.float64)
    log_sum = np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)) + logits.max(axis=1)
    best_two = np.argsort(-logits, axis=1, kind="stable")[:, :2]
    best, second = (np.take_along_axis(logits, best_two[:, i:i + 1], axis=1)[:, 0] for i in (0, 1))
    target = np.array(text[1:TEACHER_POSITIONS + 1])
    target_log_probability = np.take_along_axis(logits, target[:, None], axis=1)[:, 0] - log_sum
    out["teacher.tokens"] = np.array(text[:TEACHER_POSITIONS + 1], np.int32)
    out["teacher.top_ids"] = best_two.astype(np.int32)
    out["teacher.top_log_probability"] = (best - log_sum).astype(np.float32)
    out["teacher.margin"] = (best - second).astype(np.float32)
    out["teacher.target_log_probability"] = target_log_probability.astype(np.float32)
    print("perplexity", np.exp(-target_log_probability.mean()), "margins under 0.2 nat:", (best - second < 0.2).mean())

    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    metadata = {
        "mlx": importlib.metadata.version("mlx"),
        "mlx_lm": importlib.metadata.version("mlx-lm"),
        "weights_sha256": digest,
    }
    path = os.path.join(HERE, "demo_logits.safetensors")
    mx.save_safetensors(path, {name: mx.array(value) for name, value in out.items()}, metadata)
    print(json.dumps(metadata), os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
