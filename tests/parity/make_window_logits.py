#!/usr/bin/env python3
"""Writes window_logits.safetensors: what mlx-lm computes for two tiny random models with sliding windows. See README.md.

Needs mlx (CPU is enough) and mlx-lm:  python3 tests/parity/make_window_logits.py
"""

import importlib.metadata
import json
import math
import os

import mlx.core as mx
import numpy as np
from mlx_lm.models import llama

HERE = os.path.dirname(os.path.abspath(__file__))
NUM_TOKENS = 600
STRIDE = 40
SIZES = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
         "intermediate_size": 128, "vocab_size": 320}
SEED = 6
MODELS = {
    "llama": {"sliding_window": 300,
              "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]},
    "mistral": {"sliding_window": 50},
}


class SyntheticNumbers:
    """The numbers of src/model/testing/synthetic_model.cpp (SplitMix64)."""

    MASK = (1 << 64) - 1

    def __init__(self, seed):
        self.state = (seed * 0x9E3779B97F4A7C15 + 1) & self.MASK

    def next(self):
        self.state = z = (self.state + 0x9E3779B97F4A7C15) & self.MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & self.MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self.MASK
        return z ^ (z >> 31)

    def between(self, low, high, *shape):
        values = [low + (high - low) * (self.next() >> 11) * 2.0**-53 for _ in range(math.prod(shape))]
        return mx.array(np.array(values).astype(np.float32).reshape(shape))


def synthetic_weights():
    """As write_synthetic_model makes them for these sizes with bits = 0 and dtype F32: the same order, the same ranges."""
    numbers = SyntheticNumbers(SEED)
    hidden, intermediate = SIZES["hidden_size"], SIZES["intermediate_size"]
    q = SIZES["num_attention_heads"] * SIZES["head_dim"]
    kv = SIZES["num_key_value_heads"] * SIZES["head_dim"]
    weights = {"model.embed_tokens.weight": numbers.between(-0.5, 0.5, SIZES["vocab_size"], hidden)}

    def linear(name, rows, columns):
        limit = 1.7 / math.sqrt(columns)
        weights[name + ".weight"] = numbers.between(-limit, limit, rows, columns)

    def norm(name):
        weights[name + ".weight"] = numbers.between(0.7, 1.3, hidden)

    for i in range(SIZES["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        norm(layer + "input_layernorm")
        linear(layer + "self_attn.q_proj", q, hidden)
        linear(layer + "self_attn.k_proj", kv, hidden)
        linear(layer + "self_attn.v_proj", kv, hidden)
        linear(layer + "self_attn.o_proj", hidden, q)
        norm(layer + "post_attention_layernorm")
        linear(layer + "mlp.gate_proj", intermediate, hidden)
        linear(layer + "mlp.up_proj", intermediate, hidden)
        linear(layer + "mlp.down_proj", hidden, intermediate)
    norm("model.norm")
    return weights


def make_model(name):
    args = llama.ModelArgs.from_dict({"model_type": "llama", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
                                      "tie_word_embeddings": True, **SIZES, **MODELS[name]})
    model = llama.Model(args)
    model.load_weights(list(synthetic_weights().items()))
    if name == "mistral":
        # mlx-lm reads mistral as llama and overlooks its window; its code for windows is what we want of it.
        for layer in model.model.layers:
            layer.use_sliding = True
        model.model.swa_idx = 0
    return model


def main():
    mx.set_default_device(mx.cpu)
    tokens = [(i * i * 7 + i * 131 + 5) % SIZES["vocab_size"] for i in range(NUM_TOKENS)]
    rows = list(range(STRIDE - 1, NUM_TOKENS, STRIDE))
    out = {"tokens": np.array(tokens, np.int32), "rows": np.array(rows, np.int32)}
    for name in MODELS:
        model = make_model(name)
        logits = np.array(model(mx.array([tokens]))[0])
        # The same token by token, with the caches that forget what no window holds.
        cache = model.make_cache()
        for i, token in enumerate(tokens):
            step = np.array(model(mx.array([[token]]), cache)[0, 0])
            assert np.abs(step - logits[i]).max() < 1e-3, (name, i)
        out[name + ".logits"] = logits[rows]
        print(name, "largest |logit|", np.abs(logits).max())
    metadata = {name: importlib.metadata.version(name) for name in ("mlx", "mlx-lm")}
    path = os.path.join(HERE, "window_logits.safetensors")
    mx.save_safetensors(path, {name: mx.array(value) for name, value in out.items()}, metadata)
    print(json.dumps(metadata), os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
