#!/usr/bin/env python3
"""Writes quantize_codes.safetensors: what MLX's quantizer makes of a small matrix. See README.md.

Needs mlx (its CPU quantizer is the one that is asked) and numpy:  python3 tests/parity/make_quantize_codes.py
"""

import os

import mlx.core as mx
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, COLUMNS = 12, 128
TYPES = {"f16": mx.float16, "bf16": mx.bfloat16, "f32": mx.float32}
FORMS = [("affine", bits, group) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)]
FORMS += [("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)]


def matrix():
    random = np.random.default_rng(20261126)
    x = random.normal(size=(ROWS, COLUMNS))
    x[1] = np.abs(x[1])  # the group's edges: none below zero, none above, none but zeros, all the same
    x[2] = -np.abs(x[2])
    x[3] = 0.0
    x[4] = 1.5
    x[5, :64], x[5, 64:] = -0.375, 1e-9
    x[6] = np.round(4 * x[6]) / 4  # many ties
    x[7, ::16] = 6.0
    x[7, 1::16] = [0.25, 0.75, -1.25, 1.75, 2.5, -3.5, 5.0, -0.25]
    x[8] *= 1e-5
    x[9] *= np.exp2(np.arange(COLUMNS) // 16 - 6.0)  # groups of very different size
    x[10] *= 2000.0
    x[11] *= 2.0 ** -13
    return x.astype(np.float32)


def main():
    mx.set_default_device(mx.cpu)
    tensors = {}
    for type_name, dtype in TYPES.items():
        x = mx.array(matrix()).astype(dtype)
        tensors[type_name] = x
        for mode, bits, group in FORMS:
            name = f"{type_name}.{mode}_{bits}_{group}"
            parts = mx.quantize(x, group_size=group, bits=bits, mode=mode)
            tensors.update(zip((name + ".weight", name + ".scales", name + ".biases"), parts))
    mx.eval(list(tensors.values()))
    mx.save_safetensors(os.path.join(HERE, "quantize_codes.safetensors"), tensors, {"mlx": mx.__version__})


if __name__ == "__main__":
    main()
