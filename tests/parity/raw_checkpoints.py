"""Rules of raw checkpoints' tensors (make_architectures.py), as transformers writes them, from the rules of MLX's: a function for each
way in which the names and layouts differ. They take and return {name: [type, shape, low, high]}.
"""

import re


def nested(rules):
    """transformers 4.52 and later: the text model beside a tower."""
    renamed = {}
    for name, rule in rules.items():
        name = re.sub(r"^language_model\.model\.", "model.language_model.", name)
        renamed[re.sub(r"^language_model\.lm_head\.", "lm_head.", name)] = rule
    return renamed


def at_the_top(rules):
    """Qwen2-VL when it was new: only the tower has a name of its own."""
    renamed = {re.sub(r"^language_model\.", "", name): rule for name, rule in rules.items()}
    return {**renamed, "visual.patch_embed.proj.weight": ["F32", [4, 4], -1.0, 1.0]}


def fused(gate_up, down, transposed=False, stack="switch_mlp"):
    """Stacked experts with gate and up in one tensor, [experts, out, in] or transposed."""

    def shaped(rule, out):
        experts, _, inputs = rule[1]
        return [rule[0], [experts, inputs, out] if transposed else [experts, out, inputs], *rule[2:]]

    def convert(rules):
        result = {}
        for name, rule in rules.items():
            found = re.fullmatch(rf"(.*\.){stack}\.(gate|up|down)_proj\.weight", name)
            if not found:
                result[name] = rule
            elif found[2] == "gate":
                result[found[1] + gate_up] = shaped(rule, 2 * rule[1][1])
            elif found[2] == "down":
                result[found[1] + down] = shaped(rule, rule[1][1])
        return result

    return convert


def gpt_oss(rules):
    """mxfp4 blocks of 16 bytes; biases and scales beside them; rows of gate and up in turns."""
    result = {}
    for name, rule in rules.items():
        found = re.fullmatch(r"(.*\.experts\.)(gate|up|down)_proj\.(weight|bias)", name)
        if not found:
            result[name] = rule
            continue
        if found[2] == "up":
            continue
        target = found[1] + ("gate_up_proj" if found[2] == "gate" else "down_proj")
        shape = list(rule[1])
        shape[1] *= 2 if found[2] == "gate" else 1
        if found[3] == "bias":
            result[target + "_bias"] = ["F32", shape, *rule[2:]]
        else:
            blocks = shape[2] // 32
            result[target + "_blocks"] = ["U8", [*shape[:2], blocks, 16], 0, 0]
            # 2^-6 to 2^-4, so that numbers up to 6 give weights as the others'.
            result[target + "_scales"] = ["U8", [*shape[:2], blocks], 121, 124]
    return result


def whole_convolutions(rules):
    """[channels, 1, kernel], as PyTorch has them."""
    result = {}
    for name, rule in rules.items():
        if name.endswith((".conv1d.weight", ".conv.weight")):
            rule = [rule[0], [rule[1][0], rule[1][2], rule[1][1]], *rule[2:]]
        result[name] = rule
    return result


def norms_less_one(rules):
    """Qwen3.5: norms, but for the recurrent layers', store their weight less 1."""
    parts = ("input_layernorm.weight", "post_attention_layernorm.weight", "model.norm.weight", "q_norm.weight", "k_norm.weight")
    return {n: [*r[:2], -0.3, 0.3] if n.endswith(parts) else r for n, r in rules.items()}


def single_experts(names):
    """One by one, with names of their own: {"gate_proj": "w1", ...}."""

    def convert(rules):
        result = {}
        for name, rule in rules.items():
            found = re.fullmatch(r"(.*\.)switch_mlp\.(\w+)\.weight", name)
            if not found:
                result[name] = rule
                continue
            for expert in range(rule[1][0]):
                result[f"{found[1]}experts.{expert}.{names[found[2]]}.weight"] = [rule[0], rule[1][1:], *rule[2:]]
        return result

    return convert


def renamed(*pairs):
    """Patterns of regular expressions and what stands in their place."""

    def convert(rules):
        result = {}
        for name, rule in rules.items():
            for pattern, replacement in pairs:
                name = re.sub(pattern, replacement, name)
            result[name] = rule
        return result

    return convert


def transposed(*suffixes):
    """GPT-2's matrices have a row for each input."""

    def convert(rules):
        return {n: [r[0], r[1][::-1], *r[2:]] if n.endswith(suffixes) else r for n, r in rules.items()}

    return convert


def with_extra(**tensors):
    """Tensors beside the model's that nothing uses."""
    return lambda rules: {**rules, **tensors}


def in_halves(rules):
    """All floats in F16."""
    return {n: ["F16" if r[0] == "F32" else r[0], *r[1:]] for n, r in rules.items()}


def joined_latents(rules):
    """DeepSeek's kv_b_proj, which mlx-lm takes apart: rows of keys without position, then of values, head after head."""
    result = {}
    for name, rule in rules.items():
        if name.endswith("embed_q.weight"):
            heads, rank, keys = rule[1]
            values = rules[name.replace("embed_q", "unembed_out")][1][1]
            result[name.replace("embed_q", "kv_b_proj")] = [rule[0], [heads * (keys + values), rank], *rule[2:]]
        elif not name.endswith("unembed_out.weight"):
            result[name] = rule
    return result


def is_projection(name, rule):
    return re.search(r"(_proj|\.w[123])\.weight$", name) is not None and len(rule[1]) == 2


def awq(group_size):
    """AutoAWQ's packing of all projections: random codes and zeros."""

    def convert(rules):
        result = {}
        for name, rule in rules.items():
            if not is_projection(name, rule):
                result[name] = rule
                continue
            module = name.removesuffix(".weight")
            out, inputs = rule[1]
            result[module + ".qweight"] = ["I32", [inputs, out // 8], 0, 0]
            result[module + ".qzeros"] = ["I32", [inputs // group_size, out // 8], 0, 0]
            scale = float(f"{0.1 / inputs**0.5:.4g}")
            result[module + ".scales"] = ["F16", [inputs // group_size, out], scale, 2 * scale]
        return result

    return convert


def fp8(block):
    """e4m3 with a scale for each block of rows and columns, in all projections."""

    def convert(rules):
        result = {}
        for name, rule in rules.items():
            if not is_projection(name, rule):
                result[name] = rule
                continue
            out, inputs = rule[1]
            scale = float(f"{1.7 / inputs**0.5 / 200:.4g}")
            result[name] = ["F8_E4M3", rule[1], -200.0, 200.0]
            result[name + "_scale_inv"] = ["F32", [-(-out // block), -(-inputs // block)], 0.7 * scale, 1.3 * scale]
        return result

    return convert


def packed_experts(rules):
    """compressed-tensors' int4 in groups of 32, in the experts, as Kimi K2 has them."""
    result = {}
    for name, rule in rules.items():
        if ".experts." not in name:
            result[name] = rule
            continue
        module = name.removesuffix("weight")
        out, inputs = rule[1]
        assert out == inputs, "weight_shape is a random number from a range"
        scale = float(f"{0.1 / inputs**0.5:.4g}")
        result[module + "weight_packed"] = ["I32", [out, inputs // 8], 0, 0]
        result[module + "weight_scale"] = ["BF16", [out, inputs // 32], 2 * scale, 4 * scale]
        result[module + "weight_shape"] = ["I64", [2], out, out + 1]
    return result
