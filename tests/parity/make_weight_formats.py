#!/usr/bin/env python3
"""Writes weight_formats/model.safetensors: what MLX makes of small matrices in every format of weights. See README.md.

Needs mlx (CPU is enough) and numpy:  python3 tests/parity/make_weight_formats.py
"""

import os

import mlx.core as mx
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, COLUMNS, INPUTS = 17, 128, 3
# Scales and biases of each group size in one type. Those in F32 are made to fit BF16, so that code * scale is exact and
# it does not matter whether the addition of the bias is fused with it.
AFFINE_TYPES = {32: mx.bfloat16, 64: mx.float16, 128: mx.float32}
FLOAT_MODES = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}


def main():
    random = np.random.default_rng(20261126)
    x = mx.array(random.normal(size=(INPUTS, COLUMNS)).astype(np.float32))
    tensors = {"x": x}

    def add(name, weights, group_size, bits, mode, to):
        quantized = [mx.array(part) for part in mx.quantize(weights, group_size=group_size, bits=bits, mode=mode)]
        tensors[name + ".weight"] = quantized[0]
        tensors[name + ".scales"] = quantized[1]
        if mode == "affine":
            quantized[1:] = [part.astype(mx.bfloat16 if to == mx.float32 else to) for part in quantized[1:]]
            tensors[name + ".scales"] = quantized[1].astype(to)
            tensors[name + ".biases"] = quantized[2].astype(to)
            quantized[1:] = [part.astype(mx.float32) for part in quantized[1:]]
        parameters = {"group_size": group_size, "bits": bits, "mode": mode}
        tensors[name + ".values"] = mx.dequantize(*quantized, **parameters, dtype=mx.float32)
        tensors[name + ".product"] = mx.quantized_matmul(x, *quantized, **parameters)

    for bits in (2, 3, 4, 5, 6, 8):
        for group_size, dtype in AFFINE_TYPES.items():
            weights = mx.array(random.normal(size=(ROWS, COLUMNS)).astype(np.float32))
            add(f"affine_{bits}_{group_size}", weights, group_size, bits, "affine", dtype)
    for mode, (bits, group_size) in FLOAT_MODES.items():
        # Rows of very different size, so that scales differ.
        size = np.exp2(np.arange(ROWS) - 12.0).reshape(ROWS, 1)
        weights = mx.array((size * random.normal(size=(ROWS, COLUMNS))).astype(np.float32))
        add(mode, weights, group_size, bits, mode, None)

    mx.eval(list(tensors.values()))
    folder = os.path.join(HERE, "weight_formats")
    os.makedirs(folder, exist_ok=True)
    mx.save_safetensors(os.path.join(folder, "model.safetensors"), tensors, {"mlx": mx.__version__})


if __name__ == "__main__":
    main()
