#!/usr/bin/env python3
"""Writes adapters/*.json: what mlx-lm computes for tiny models of architectures/ with a LoRA or DoRA adapter. See README.md.

Needs mlx (CPU is enough) and mlx-lm:  python3 tests/parity/make_adapters.py [CASE ...]

A case names a model of architectures/ and holds an adapter_config.json, the adapter's tensors as rules that the test repeats, and
the logits of some positions. mlx-lm's own load_adapters puts the adapter on the model.
"""

import importlib
import importlib.metadata
import json
import math
import os
import sys
import tempfile

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters

from architecture_cases import CASES as MODELS
from make_architectures import ROWS, collapse, make_tensor, quantize

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "adapters")
DTYPES = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}
ATTENTION = ["self_attn.q_proj", "self_attn.v_proj"]
LINEAR = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
          "mlp.down_proj"]
CASES = {}


def add(name, model, method="lora", dtype="F32", keys=None, num_layers=-1, rank=4, scale=2.0):
    parameters = {"rank": rank, "scale": scale, "dropout": 0.0}
    if keys is not None:
        parameters["keys"] = keys
    config = {"fine_tune_type": method, "num_layers": num_layers, "lora_parameters": parameters}
    CASES[name] = {"model": model, "dtype": dtype, "config": config}


# Attention alone, every linear layer, the last layer only; types of numbers; a rank that is no multiple of a vector.
add("llama_attention", "llama", keys=ATTENTION)
add("llama_all_f16", "llama", dtype="F16", rank=8)
add("llama_last_layer_bf16", "llama", dtype="BF16", num_layers=1, rank=5, scale=-3.0)
add("llama_embedding_and_head", "llama", keys=[*LINEAR, "model.embed_tokens", "lm_head"], rank=3)
add("llama_dora", "llama", "dora", keys=LINEAR)
add("llama_dora_head_f16", "llama", "dora", dtype="F16", keys=["self_attn.o_proj", "model.embed_tokens", "lm_head"])
# Biases; an embedding that is the output layer, too.
add("llama_tied_biased", "llama_tied_biased", keys=[*LINEAR, "model.embed_tokens"])
add("llama_tied_biased_dora", "llama_tied_biased", "dora", keys=[*LINEAR, "model.embed_tokens"])
# A quantized model.
add("llama_quantized", "llama_quantized", dtype="F16", keys=[*LINEAR, "model.embed_tokens", "lm_head"])
add("llama_quantized_dora", "llama_quantized", "dora", keys=LINEAR, rank=8)
add("llama_mixed", "llama_mixed", dtype="BF16")
add("llama_windows", "llama_windows", rank=16)
# Fused projections, gates, layers in parallel, norms of all heads.
add("phi3", "phi3")
add("phi3_dora", "phi3", "dora", keys=["self_attn.qkv_proj", "mlp.gate_up_proj"])
add("phi3_quantized", "phi3_quantized")
add("gpt_neox", "gpt_neox")
add("cohere", "cohere")
add("olmo2", "olmo2")
add("gpt2", "gpt2")
# Experts: routers, stacked experts, shared ones and their gate.
add("mixtral", "mixtral")
add("qwen2_moe", "qwen2_moe", dtype="BF16")
add("qwen3_moe_quantized", "qwen3_moe_quantized", dtype="F16", rank=6)
add("qwen3_moe_dora", "qwen3_moe", "dora", keys=["self_attn.q_proj", "mlp.gate"])
add("gpt_oss", "gpt_oss")
add("llama4_text", "llama4_text")
add("afmoe", "afmoe")
# Latents; inputs of a layer's own.
add("deepseek_v2", "deepseek_v2")
add("deepseek_v2_dora", "deepseek_v2", "dora", keys=["self_attn.kv_b_proj", "self_attn.kv_a_proj_with_mqa", "self_attn.o_proj"])
add("deepseek_v3_quantized", "deepseek_v3_quantized")
add("gemma4_text", "gemma4_text")
add("gemma4_text_quantized", "gemma4_text_quantized")
# Recurrent layers, alone and beside attention.
add("lfm2", "lfm2")
add("qwen3_next", "qwen3_next")
add("qwen3_5_quantized", "qwen3_5_quantized", dtype="F16", rank=6)
add("qwen3_next_dora", "qwen3_next", "dora", keys=["linear_attn.in_proj_qkvz", "linear_attn.in_proj_ba", "linear_attn.out_proj"])
add("granitemoehybrid", "granitemoehybrid")
add("nemotron_h", "nemotron_h")
add("falcon_h1", "falcon_h1")


def make_model(name):
    with open(os.path.join(HERE, "architectures", name + ".json")) as file:
        case = json.load(file)
    module = importlib.import_module("mlx_lm.models." + MODELS[name]["module"])
    config = case["config"]
    model = module.Model(module.ModelArgs.from_dict(json.loads(json.dumps(config))))
    if "quantization" in config:
        quantize(model, config["quantization"])
    weights = {}
    for key, rule in case["tensors"].items():
        names = [key] if len(rule) == 4 else [key.replace("*", str(i), 1) for i in range(rule[4])]
        weights.update({n: make_tensor(n, *rule[:4]) for n in names})
    if hasattr(model, "sanitize"):
        weights = model.sanitize(weights)
    model.load_weights(list(weights.items()), strict=not MODELS[name].get("tied"))
    model.eval()
    return model, case["tokens"]


def rule_of(name, array, dtype, norms):
    """[type, shape, low, high]: changes about as large as what they change."""
    shape = list(array.shape)
    module, part = name.rsplit(".", 1)
    if part == "m":
        norm = norms[module]
        return [dtype, shape, 0.6 * norm, 1.4 * norm]
    embedding = module.endswith("embed_tokens") or module.endswith("wte")
    if part == ("lora_b" if embedding else "lora_a"):
        limit = 1.7 / math.sqrt(shape[-1] if embedding or len(shape) == 3 else shape[0])
    else:
        limit = 0.4
    return [dtype, shape, -limit, limit]


def logits_of(model, tokens):
    return np.array(model(mx.array([tokens]))[0].astype(mx.float32))


def make_case(name, case):
    model, tokens = make_model(case["model"])
    plain = logits_of(model, tokens)
    # What the adapter's tensors are is what mlx-lm would train.
    shapes, _ = make_model(case["model"])
    shapes.freeze()
    linear_to_lora_layers(shapes, case["config"]["num_layers"], case["config"]["lora_parameters"],
                          use_dora=case["config"]["fine_tune_type"] == "dora")
    parameters = dict(tree_flatten(shapes.parameters()))
    adapted = {n: a for n, a in sorted(parameters.items()) if n.rsplit(".", 1)[-1] in ("lora_a", "lora_b", "m")}
    norms = {n.rsplit(".", 1)[0]: float(a.mean()) for n, a in adapted.items() if n.endswith(".m")}
    rules = {n: rule_of(n, a, case["dtype"], norms) for n, a in adapted.items()}
    rules = {n: [*r[:2], float(f"{r[2]:.4g}"), float(f"{r[3]:.4g}")] for n, r in rules.items()}
    tensors = {n: make_tensor(n, "F32", *r[1:]).astype(DTYPES[r[0]]) for n, r in rules.items()}
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "adapter_config.json"), "w") as file:
            json.dump(case["config"], file)
        mx.save_safetensors(os.path.join(folder, "adapters.safetensors"), tensors)
        load_adapters(model, folder)
    model.eval()
    logits = logits_of(model, tokens)
    assert np.isfinite(logits).all(), name
    largest = np.abs(logits).max()
    change = np.abs(logits - plain).max() / largest
    assert change > 0.05, (name, change)
    return {
        "model": case["model"],
        "config": case["config"],
        "tensors": collapse(rules),
        "rows": ROWS,
        "logits": [[float(f"{v:.5g}") for v in logits[row]] for row in ROWS],
    }, change


def write(path, case):
    """One line for each tensor and each row of logits."""
    lines = ["{", ' "model": ' + json.dumps(case["model"]) + ",", ' "config": ' + json.dumps(case["config"]) + ",", ' "tensors": {']
    lines.append(",\n".join(f"  {json.dumps(n)}: {json.dumps(rule)}" for n, rule in case["tensors"].items()))
    lines += [" },", ' "rows": ' + json.dumps(case["rows"]) + ","]
    lines += [' "logits": [', ",\n".join("  " + json.dumps(row) for row in case["logits"]), " ]", "}"]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def main():
    mx.set_default_device(mx.cpu)
    os.makedirs(FOLDER, exist_ok=True)
    failed = []
    for name in sys.argv[1:] or list(CASES):
        try:
            case, change = make_case(name, CASES[name])
        except Exception as error:
            failed.append(name)
            print(f"{name}: {type(error).__name__}: {error}")
            continue
        path = os.path.join(FOLDER, name + ".json")
        write(path, case)
        print(f"{name}: changes logits by {change:.3g}, {os.path.getsize(path)} bytes")
    print({n: importlib.metadata.version(n) for n in ("mlx", "mlx-lm")}, "failed:", failed)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
