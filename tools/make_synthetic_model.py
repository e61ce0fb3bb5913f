#!/usr/bin/env python3
"""Writes a model of random weights twice, from one seed: as an MLX folder (affine 4 bit) and as a GGUF (F16).

Both hold the same values, so that this program and llama.cpp can be measured on the same model; quantize the GGUF
with llama-quantize. The tokenizer is that of a given MLX folder, its vocabulary padded to the shape's.
For benchmarks only: random weights say nothing about accuracy.

Needs numpy and gguf (both on PyPI).
"""

import argparse
import json
import os
import shutil
import struct
import sys

import gguf
import numpy as np

SHAPES = {
    # Llama 3.2 1B: config.json of the published model, without its rope scaling.
    "llama-3.2-1b": dict(hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
                         head_dim=64, intermediate_size=8192, vocab_size=128256, rope_theta=500000.0,
                         max_position_embeddings=131072),
    # Qwen3 0.6B's sizes with llama's layers (no q and k norms).
    "llama-0.6b": dict(hidden_size=1024, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8,
                       head_dim=128, intermediate_size=3072, vocab_size=151936, rope_theta=1000000.0,
                       max_position_embeddings=40960),
}
GROUP_SIZE = 64


def to_bf16(values):
    """Rounds fp32 to the nearest bf16; returns the 16-bit patterns."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(patterns):
    return (patterns.astype(np.uint32) << 16).view(np.float32)


def quantize(weight):
    """MLX's affine 4-bit form of weight [out, in]: packed words, scales, biases (bf16 patterns), and the values."""
    rows, columns = weight.shape
    groups = weight.reshape(rows, columns // GROUP_SIZE, GROUP_SIZE)
    low, high = groups.min(axis=2), groups.max(axis=2)
    scales, biases = to_bf16((high - low) / 15), to_bf16(low)
    scale, bias = from_bf16(scales)[..., None], from_bf16(biases)[..., None]
    codes = np.clip(np.rint((groups - bias) / scale), 0, 15).astype(np.uint32)
    values = (codes * scale + bias).reshape(rows, columns).astype(np.float16)
    nibbles = codes.reshape(rows, columns // 8, 8)
    words = np.zeros((rows, columns // 8), np.uint32)
    for k in range(8):
        words |= nibbles[:, :, k] << np.uint32(4 * k)
    return words, scales, biases, values


def interleave_rotary(weight, num_heads):
    """Reorders rows from Hugging Face's half-split rotary pairs to GGUF's adjacent ones."""
    rows, columns = weight.shape
    return weight.reshape(num_heads, 2, rows // num_heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


class SafetensorsWriter:
    """Collects tensors in a data file, then writes header and data as one safetensors file."""

    def __init__(self, path):
        self.path, self.entries, self.offset = path, {}, 0
        self.data = open(path + ".data", "wb")

    def add(self, name, dtype, array):
        raw = np.ascontiguousarray(array).tobytes()
        self.entries[name] = {"dtype": dtype, "shape": list(array.shape),
                              "data_offsets": [self.offset, self.offset + len(raw)]}
        self.offset += len(raw)
        self.data.write(raw)

    def close(self):
        self.data.close()
        header = json.dumps({"__metadata__": {"format": "mlx"}, **self.entries}).encode()
        header += b" " * (-len(header) % 8)
        with open(self.path, "wb") as out, open(self.data.name, "rb") as data:
            out.write(struct.pack("<Q", len(header)) + header)
            shutil.copyfileobj(data, out, 1 << 24)
        os.remove(self.data.name)


def write_tokenizer(source, folder, vocab_size):
    with open(os.path.join(source, "tokenizer.json"), encoding="utf-8") as file:
        tokenizer = json.load(file)
    vocab = tokenizer["model"]["vocab"]
    size = max(max(vocab.values()), *(t["id"] for t in tokenizer["added_tokens"])) + 1
    for token in range(size, vocab_size):
        vocab[f"<|unused_{token}|>"] = token
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
        json.dump(tokenizer, file, ensure_ascii=False)
    for name in ("tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        if os.path.exists(os.path.join(source, name)):
            shutil.copy(os.path.join(source, name), folder)
    return tokenizer


def gguf_vocabulary(tokenizer, vocab_size):
    tokens, types = [f"<|unused_{i}|>" for i in range(vocab_size)], [gguf.TokenType.UNUSED] * vocab_size
    for text, token in tokenizer["model"]["vocab"].items():
        tokens[token] = text
        if not text.startswith("<|unused_"):
            types[token] = gguf.TokenType.NORMAL
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], gguf.TokenType.CONTROL
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    return tokens, types, merges


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--tokenizer", required=True, help="MLX folder whose tokenizer is taken")
    parser.add_argument("--mlx", required=True, help="folder to write")
    parser.add_argument("--gguf", help="F16 GGUF to write")
    parser.add_argument("--layers", type=int, help="fewer layers than the shape has")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    shape = dict(SHAPES[arguments.shape])
    if arguments.layers:
        shape["num_hidden_layers"] = arguments.layers
    hidden, heads, kv_heads = shape["hidden_size"], shape["num_attention_heads"], shape["num_key_value_heads"]
    inner, head_dim = shape["intermediate_size"], shape["head_dim"]
    random = np.random.default_rng(arguments.seed)

    os.makedirs(arguments.mlx, exist_ok=True)
    tokenizer = write_tokenizer(arguments.tokenizer, arguments.mlx, shape["vocab_size"])
    with open(os.path.join(arguments.tokenizer, "config.json"), encoding="utf-8") as file:
        source_config = json.load(file)
    quantization = {"group_size": GROUP_SIZE, "bits": 4}
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **shape, "rms_norm_eps": 1e-5,
              "hidden_act": "silu", "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
              "rope_scaling": None, "bos_token_id": source_config.get("bos_token_id", 1),
              "eos_token_id": source_config.get("eos_token_id", 2), "torch_dtype": "bfloat16",
              "quantization": quantization, "quantization_config": quantization}
    with open(os.path.join(arguments.mlx, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2)

    mlx = SafetensorsWriter(os.path.join(arguments.mlx, "model.safetensors"))
    rival = None
    if arguments.gguf:
        rival = gguf.GGUFWriter(arguments.gguf, "llama", use_temp_file=True)
        rival.add_context_length(shape["max_position_embeddings"])
        rival.add_embedding_length(hidden)
        rival.add_block_count(shape["num_hidden_layers"])
        rival.add_feed_forward_length(inner)
        rival.add_head_count(heads)
        rival.add_head_count_kv(kv_heads)
        rival.add_key_length(head_dim)
        rival.add_value_length(head_dim)
        rival.add_rope_dimension_count(head_dim)
        rival.add_rope_freq_base(shape["rope_theta"])
        rival.add_layer_norm_rms_eps(1e-5)
        rival.add_vocab_size(shape["vocab_size"])
        tokens, types, merges = gguf_vocabulary(tokenizer, shape["vocab_size"])
        rival.add_tokenizer_model("gpt2")
        rival.add_tokenizer_pre("smollm")
        rival.add_token_list(tokens)
        rival.add_token_types(types)
        rival.add_token_merges(merges)
        rival.add_bos_token_id(config["bos_token_id"])
        eos = config["eos_token_id"]
        rival.add_eos_token_id(eos[0] if isinstance(eos, list) else eos)
        rival.add_add_bos_token(False)

    def linear(name, gguf_name, rows, columns, rotary_heads=0):
        weight = random.standard_normal((rows, columns), np.float32) * np.float32(0.02)
        words, scales, biases, values = quantize(weight)
        mlx.add(name + ".weight", "U32", words)
        mlx.add(name + ".scales", "BF16", scales)
        mlx.add(name + ".biases", "BF16", biases)
        if rival:
            rival.add_tensor(gguf_name + ".weight",
                             interleave_rotary(values, rotary_heads) if rotary_heads else values)

    def norm(name, gguf_name):
        mlx.add(name + ".weight", "BF16", to_bf16(np.ones(hidden, np.float32)))
        if rival:
            rival.add_tensor(gguf_name + ".weight", np.ones(hidden, np.float32))

    linear("model.embed_tokens", "token_embd", shape["vocab_size"], hidden)
    for layer in range(shape["num_hidden_layers"]):
        ours, theirs = f"model.layers.{layer}.", f"blk.{layer}."
        norm(ours + "input_layernorm", theirs + "attn_norm")
        linear(ours + "self_attn.q_proj", theirs + "attn_q", heads * head_dim, hidden, heads)
        linear(ours + "self_attn.k_proj", theirs + "attn_k", kv_heads * head_dim, hidden, kv_heads)
        linear(ours + "self_attn.v_proj", theirs + "attn_v", kv_heads * head_dim, hidden)
        linear(ours + "self_attn.o_proj", theirs + "attn_output", hidden, heads * head_dim)
        norm(ours + "post_attention_layernorm", theirs + "ffn_norm")
        linear(ours + "mlp.gate_proj", theirs + "ffn_gate", inner, hidden)
        linear(ours + "mlp.up_proj", theirs + "ffn_up", inner, hidden)
        linear(ours + "mlp.down_proj", theirs + "ffn_down", hidden, inner)
        print(f"layer {layer + 1} of {shape['num_hidden_layers']}", file=sys.stderr)
    norm("model.norm", "output_norm")
    mlx.close()
    if rival:
        rival.write_header_to_file()
        rival.write_kv_data_to_file()
        rival.write_tensors_to_file()
        rival.close()
    print(arguments.mlx)


if __name__ == "__main__":
    main()
