#!/usr/bin/env python3
"""Writes conversions.json: what mlx-lm's converter makes of the models of architectures/*.json. See README.md.

Needs mlx (CPU is enough) and mlx-lm:

    python3 tests/parity/make_conversions.py              all cases
    python3 tests/parity/make_conversions.py --list CASE CONVERSION   each tensor of one, with its hash, to compare by eye
"""

import glob
import importlib
import importlib.metadata
import json
import os
import sys

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten, tree_map_with_path
from mlx_lm.convert import mixed_quant_predicate_builder
from mlx_lm.utils import get_total_parameters, quantize_model

from architecture_cases import CASES
from make_architectures import FOLDER, HERE, make_tensor

MASK = (1 << 64) - 1
# Of the tiny models' kind: (name, mode, bits, group size, recipe, type).
CONVERSIONS = [
    ("affine_4_32_bf16", "affine", 4, 32, None, "bfloat16"),
    ("affine_6_64_f16", "affine", 6, 64, None, "float16"),
    ("mixed_3_6_f32", "affine", 3, 32, "mixed_3_6", "float32"),
    ("nvfp4_bf16", "nvfp4", None, None, None, "bfloat16"),
]
# Types that mlxd does not convert: mlx-lm takes latent attention's projections apart and multiplies falcon_h1's weights.
NOT_CONVERTED = ("deepseek_v2", "deepseek_v3", "falcon_h1", "glm4_moe_lite", "kimi_k25", "kimi_vl", "mistral4",
                 "mistral3_mistral4", "gpt_oss_raw")
# nvfp4 of layers whose inputs are no multiple of 32 stays plain in mlxd (docs/guides/convert-a-model.md).
NOT_IN_NVFP4 = ("gemma4_text_moe", "granitemoehybrid", "minicpm3", "nemotron_h_moe", "qwen3_5_moe", "qwen3_next", "youtu_llm")
# Where the recipe matters by layer there have to be layers.
EVERY_RECIPE = "llama_deep"


def words_hash(value, data):
    """FNV-1a over little-endian 32-bit words, the last padded with zeros: bytes would take Python minutes."""
    data = data + bytes(-len(data) % 4)
    for word in np.frombuffer(data, "<u4").tolist():
        value = ((value ^ word) * 0x100000001B3) & MASK
    return value


def expand(rules):
    tensors = {}
    for name, rule in rules.items():
        if len(rule) == 5:
            for layer in range(rule[4]):
                tensors[name.replace("*", str(layer), 1)] = rule[:4]
        else:
            tensors[name] = rule
    return tensors


def load(config, rules, module):
    module = importlib.import_module("mlx_lm.models." + module)
    model = module.Model(module.ModelArgs.from_dict(json.loads(json.dumps(config))))
    weights = {name: make_tensor(name, *rule) for name, rule in expand(rules).items()}
    if hasattr(model, "sanitize"):
        weights = model.sanitize(weights)
    model.load_weights(list(weights.items()), strict=False)
    return model


def convert(model, config, mode, bits, group_size, recipe, dtype):
    """As mlx_lm.convert does, without files."""
    predicate = mixed_quant_predicate_builder(recipe, model, group_size) if recipe else None
    target = getattr(mx, dtype)
    keep = getattr(model, "cast_predicate", lambda _: True)
    model.update(tree_map_with_path(
        lambda k, v: v.astype(target) if keep(k) and mx.issubdtype(v.dtype, mx.floating) else v, model.parameters()))
    return quantize_model(model, config, group_size, bits, mode=mode, quant_predicate=predicate)


def raw_bytes(array):
    if array.dtype == mx.bfloat16:
        array = array.view(mx.uint16)
    return np.array(array).tobytes()


NAMES = {mx.float32: "F32", mx.float16: "F16", mx.bfloat16: "BF16", mx.uint32: "U32", mx.uint8: "U8"}


def describe(model, list_tensors=False):
    """One hash over names, types, shapes and bytes of all tensors in the order of their names."""
    value = 0xCBF29CE484222325
    count = 0
    for name, array in sorted(tree_flatten(model.parameters())):
        head = f"{name} {NAMES[array.dtype]} {list(array.shape)}"
        data = raw_bytes(array)
        value = words_hash(words_hash(value, head.encode()), data)
        count += 1
        if list_tensors:
            print(f"{head} {words_hash(0xCBF29CE484222325, data):016x}")
    return {"tensors": count, "hash": f"{value:016x}", "parameters": get_total_parameters(model)}


def deep_case():
    """16 layers, so that each recipe has layers of each kind."""
    with open(os.path.join(FOLDER, "llama.json")) as file:
        case = json.load(file)
    case["config"]["num_hidden_layers"] = 16
    case["tensors"] = {n: (r[:4] + [16] if len(r) == 5 else r) for n, r in case["tensors"].items()}
    return case


def read_case(name):
    if name == EVERY_RECIPE:
        return deep_case(), "llama"
    with open(os.path.join(FOLDER, name + ".json")) as file:
        return json.load(file), CASES[name]["module"]


def conversions_of(name):
    if name != EVERY_RECIPE:
        return CONVERSIONS
    recipes = ("mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6")
    found = [(f"{recipe}_bf16", "affine", int(recipe[6]), 32, recipe, "bfloat16") for recipe in recipes]
    return found + [("mxfp4_bf16", "mxfp4", None, None, None, "bfloat16"),
                    ("mxfp8_f16", "mxfp8", None, None, None, "float16")]


def make(name, conversion, list_tensors=False):
    case, module = read_case(name)
    model = load(case["config"], case["tensors"], module)
    config = json.loads(json.dumps(case["config"]))
    _, mode, bits, group_size, recipe, dtype = conversion
    model, quantized = convert(model, config, mode, bits, group_size, recipe, dtype)
    result = describe(model, list_tensors)
    if recipe is None or name == EVERY_RECIPE:
        result["quantization"] = quantized["quantization"]
    return result


def main():
    mx.set_default_device(mx.cpu)
    if sys.argv[1:2] == ["--list"]:
        name, wanted = sys.argv[2:4]
        (conversion,) = [c for c in conversions_of(name) if c[0] == wanted]
        print(json.dumps(make(name, conversion, True)))
        return
    names = sorted(os.path.splitext(os.path.basename(path))[0] for path in glob.glob(os.path.join(FOLDER, "*.json")))
    lines = []
    for name in names + [EVERY_RECIPE]:
        case, _ = read_case(name)
        if {"quantization", "quantization_config"} & set(case["config"]) or name.startswith(NOT_CONVERTED):
            continue
        for conversion in conversions_of(name):
            if conversion[1] == "nvfp4" and name.startswith(NOT_IN_NVFP4):
                continue
            try:
                result = make(name, conversion)
            except ValueError as error:
                # A recipe needs names that the model lacks; a router's rows no multiple of 64.
                result = {"refused": str(error).splitlines()[0]}
            lines.append(f' "{name} {conversion[0]}": {json.dumps(result)}')
        print(name, flush=True)
    with open(os.path.join(HERE, "conversions.json"), "w") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")
    print({n: importlib.metadata.version(n) for n in ("mlx", "mlx-lm")})


if __name__ == "__main__":
    main()
