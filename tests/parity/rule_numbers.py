"""The numbers of tensors that are made by rules, as src/model/testing/rule_model.cpp has them."""

import numpy as np

MASK = (1 << 64) - 1


def hash_of(name):
    """FNV-1a of the tensor's name: the seed of its numbers."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def numbers(name, count):
    """SplitMix64 from the name's hash, as src/model/testing/rule_model.cpp has it."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        z = np.uint64(hash_of(name)) + golden * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
