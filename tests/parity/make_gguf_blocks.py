#!/usr/bin/env python3
"""Writes gguf_blocks.safetensors: random blocks of every quantized GGUF type that is imported, and their values as the PyPI
package gguf computes them. See README.md.

Needs gguf and safetensors:  python3 tests/parity/make_gguf_blocks.py
"""

import importlib.metadata
import os

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
ELEMENTS = 512
# Where in a block its half-precision scales lie.
SCALES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
    Type.IQ4_NL: [0], Type.IQ4_XS: [0],
}


def main():
    random = np.random.default_rng(11)
    out = {}
    for kind, offsets in SCALES.items():
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (ELEMENTS // elements, size), dtype=np.uint8)
        for offset in offsets:
            scales = random.uniform(-0.1, 0.1, len(blocks)).astype(np.float16)
            blocks[:, offset:offset + 2] = scales.view(np.uint8).reshape(-1, 2)
        out[kind.name + ".blocks"] = blocks.reshape(-1)
        out[kind.name + ".values"] = gguf.dequantize(blocks.reshape(-1), kind).reshape(-1).astype(np.float32)
        assert out[kind.name + ".values"].size == ELEMENTS
    save_file(out, os.path.join(HERE, "gguf_blocks.safetensors"), {"gguf": importlib.metadata.version("gguf")})


if __name__ == "__main__":
    main()
