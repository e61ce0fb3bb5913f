#!/usr/bin/env python3
"""Writes architectures/*.json: what mlx-lm computes for tiny random models of every architecture. See README.md.

Needs mlx (CPU is enough) and mlx-lm:  python3 tests/parity/make_architectures.py [CASE ...]

A case holds a config.json, the tensors as rules (type, shape, range) that the test repeats, token ids, and the logits of some
positions. Adding an architecture to the tests is adding its row to CASES and running this.
"""

import importlib
import importlib.metadata
import json
import math
import os
import re
import struct
import sys
import tempfile

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model
from pathlib import Path

from architecture_cases import CASES
from rule_numbers import numbers

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "architectures")
NUM_TOKENS = 80
ROWS = [0, 9, 33, 57, 79]


FLOATS = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}
INTEGERS = {"U8": np.uint8, "I32": np.int32, "U32": np.uint32, "I64": np.int64}


def make_tensor(name, dtype, shape, low, high):
    words = numbers(name, math.prod(shape))
    uniform = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    if dtype in INTEGERS:
        if high > low:
            words = np.floor(low + (high - low) * uniform).astype(np.int64)
        return mx.array(words.astype(INTEGERS[dtype]).reshape(shape))
    values = mx.array((low + (high - low) * uniform).astype(np.float32).reshape(shape))
    return mx.to_fp8(values) if dtype == "F8_E4M3" else values.astype(FLOATS[dtype])


def collapse(rules):
    """Layers' tensors with one rule become one entry NAME.*.NAME with the number of layers as its last element."""
    groups = {}
    for name, rule in rules.items():
        found = re.fullmatch(r"(.*?\b(?:layers|h))\.(\d+)\.(.*)", name)
        key = f"{found[1]}.*.{found[3]}" if found else name
        groups.setdefault((key, json.dumps(rule)), []).append(int(found[2]) if found else name)
    result = {}
    for (key, rule), members in groups.items():
        if "*" in key and members == list(range(len(members))):
            result[key] = json.loads(rule) + [len(members)]
        else:
            for member in members:
                result[key.replace("*", str(member), 1)] = json.loads(rule)
    return result


def is_norm(name):
    return "norm" in name.rsplit(".", 2)[-2] or ".ln_" in name or "norms." in name or name.endswith("ln_f.weight")


def rule_of(name, array, case, bits_of):
    """[type, shape, low, high]: ranges that keep activations near one, so that no part vanishes in the result."""
    shape = list(array.shape)
    kind = name.rsplit(".", 1)[-1]
    module = name.rsplit(".", 1)[0]
    if array.dtype == mx.uint32:
        return ["U32", shape, 0, 0]
    if kind in ("scales", "biases"):
        bits, group_size, inputs = bits_of[module]
        scale = 2 * 1.7 / math.sqrt(inputs) / (2**bits - 1)
        if kind == "scales":
            return ["F32", shape, 0.5 * scale, 1.5 * scale]
        middle = -scale * (2**bits - 1) / 2
        return ["F32", shape, 1.05 * middle, 0.95 * middle]
    for part, limits in case.get("ranges", {}).items():
        if part in name:
            return ["F32", shape, *limits]
    if kind == "weight" and is_norm(name):
        return ["F32", shape, -0.3, 0.3] if case.get("norm_offset") else ["F32", shape, 0.7, 1.3]
    if kind == "weight" and len(shape) >= 2:
        limit = 1.0 if "embed" in module or module.endswith("wte") else 1.7 / math.sqrt(shape[-1])
        if module.endswith(("lm_head", ".output", "router", ".gate")):
            limit *= 3
        return ["F32", shape, -limit, limit]
    return ["F32", shape, -0.3, 0.3]


def quantize(model, quantization):
    def predicate(path, module):
        entry = quantization.get(path)
        if isinstance(entry, (dict, bool)):
            return entry
        return hasattr(module, "to_quantized")

    nn.quantize(model, quantization["group_size"], quantization["bits"], class_predicate=predicate)


def widths(model):
    """Bits, group size and inputs of each quantized module."""
    found = {}
    for path, module in model.named_modules():
        if hasattr(module, "bits"):
            found[path] = (module.bits, module.group_size, module.weight.shape[-1] * 32 // module.bits)
    return found


def write_tensors(path, rules):
    """A safetensors file; mlx's own writer does not know all types that others use."""
    header, data = {}, b""
    for name, rule in rules.items():
        bytes_ = bytes(memoryview(mx.view(make_tensor(name, *rule).reshape(-1), mx.uint8)))
        header[name] = {"dtype": rule[0], "shape": rule[1], "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def load_raw(config, rules):
    """The model that mlx-lm's loader makes of a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        write_tensors(Path(folder) / "model.safetensors", rules)
        model = load_model(Path(folder))[0]
        model.set_dtype(mx.float32)
        return model


def make_case(name, case):
    module = importlib.import_module("mlx_lm.models." + case["module"])
    config = case["config"]
    model = module.Model(module.ModelArgs.from_dict(json.loads(json.dumps(config))))
    if "quantization" in config and not case.get("raw"):
        quantize(model, config["quantization"])
    bits_of = widths(model)
    rules = {n: rule_of(n, a, case, bits_of) for n, a in sorted(tree_flatten(model.parameters()))}
    rules = {n: [*r[:2], float(f"{r[2]:.4g}"), float(f"{r[3]:.4g}")] for n, r in rules.items()}
    if case.get("tied"):
        rules = {n: rule for n, rule in rules.items() if not n.endswith("lm_head.weight")}
    for form in case.get("raw", ()):
        rules = form(rules)
    weights = {n: make_tensor(n, *rule) for n, rule in rules.items()}
    if case.get("raw"):
        model = load_raw(config, rules)
    elif hasattr(model, "sanitize"):
        model.load_weights(list(model.sanitize(dict(weights)).items()), strict=not case.get("tied"))
    else:
        model.load_weights(list(weights.items()))
    model.eval()
    vocabulary = config.get("vocab_size") or config["text_config"]["vocab_size"]
    tokens = [int(n % np.uint64(vocabulary)) for n in numbers("tokens", NUM_TOKENS)]
    logits = np.array(model(mx.array([tokens]))[0].astype(mx.float32))
    assert np.isfinite(logits).all(), name
    largest = np.abs(logits).max()
    # The same token by token, with mlx-lm's own caches.
    if not case.get("skip_cache"):
        cache = model.make_cache() if hasattr(model, "make_cache") else None
        if cache is None:
            from mlx_lm.models.cache import make_prompt_cache

            cache = make_prompt_cache(model)
        for i, token in enumerate(tokens):
            step = np.array(model(mx.array([[token]]), cache=cache)[0, 0].astype(mx.float32))
            difference = np.abs(step - logits[i]).max() / largest
            assert difference < 1e-3, (name, i, difference)
    return {
        "config": config,
        "tensors": collapse(rules),
        "tokens": tokens,
        "rows": ROWS,
        "logits": [[float(f"{v:.5g}") for v in logits[row]] for row in ROWS],
    }, largest, float(logits[1:].std(axis=0).mean() / largest)


def write(path, case):
    """One line for each tensor and each row of logits."""
    lines = ["{", ' "config": ' + json.dumps(case["config"]) + ",", ' "tensors": {']
    lines.append(",\n".join(f"  {json.dumps(n)}: {json.dumps(rule)}" for n, rule in case["tensors"].items()))
    lines += [" },", ' "tokens": ' + json.dumps(case["tokens"]) + ",", ' "rows": ' + json.dumps(case["rows"]) + ","]
    lines += [' "logits": [', ",\n".join("  " + json.dumps(row) for row in case["logits"]), " ]", "}"]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def main():
    mx.set_default_device(mx.cpu)
    wanted = sys.argv[1:] or list(CASES)
    os.makedirs(FOLDER, exist_ok=True)
    failed = []
    for name in wanted:
        try:
            case, largest, spread = make_case(name, CASES[name])
        except Exception as error:
            failed.append(name)
            print(f"{name}: {type(error).__name__}: {error}")
            continue
        path = os.path.join(FOLDER, name + ".json")
        write(path, case)
        print(f"{name}: largest |logit| {largest:.3g}, spread {spread:.3g}, {os.path.getsize(path)} bytes")
    print({n: importlib.metadata.version(n) for n in ("mlx", "mlx-lm")}, "failed:", failed)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
