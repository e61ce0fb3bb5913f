#!/usr/bin/env python3
"""Writes docs/models.md from what the parity tests find: a row for each case of architectures/, and for each of mlx-lm's model types
whether it is exact.

    MLXD_PARITY_REPORT=report.jsonl build/ci/tests/parity/parity_test --gtest_filter='*Architectures*'
    python3 tests/parity/make_models_doc.py report.jsonl
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# The files of mlx_lm/models in 0.32.2 that are models of their own, and names that it reads as another (utils.py).
MLX_LM_TYPES = """Klear afm7 afmoe apertus baichuan_m1 bailing_hybrid bailing_moe bailing_moe_linear bailing_moe_v3 bitnet cohere cohere2
dbrx deepseek deepseek_v2 deepseek_v3 deepseek_v32 deepseek_v41 dots1 ernie4_5 ernie4_5_moe exaone exaone4 exaone_moe falcon_h1 gear
gemma gemma2 gemma3 gemma3_text gemma3n gemma4 gemma4_text glm glm4 glm4_moe glm4_moe_lite glm_moe_dsa gpt2 gpt_bigcode gpt_neox gpt_oss
gptj granite granitemoe granitemoehybrid helium hunyuan hunyuan_v1_dense internlm2 internlm3 iquestloopcoder jamba kimi_k25 kimi_k3
kimi_linear kimi_vl laguna lfm2 lfm2-vl lfm2_moe lille-130m llama llama4 llama4_text longcat_flash longcat_flash_ngram mamba mamba2 mellum
mimo mimo_v2_flash minicpm minicpm3 minimax minimax_m3_vl ministral3 mistral3 mistral4 mixtral muse_glimmer muse_spark nanbeige nanochat
nemotron nemotron-nas nemotron_h olmo olmo2 olmo3 olmo_hybrid olmoe openelm phi phi3 phi3small phimoe phixtral pixtral plamo plamo2 plamo3
prism_hadamard_qwen35 qwen qwen2 qwen2_moe qwen2_vl qwen3 qwen3_5 qwen3_5_moe qwen3_moe qwen3_next qwen3_vl qwen3_vl_moe recurrent_gemma
rwkv7 seed_oss smollm3 solar_open spark2_5 stablelm starcoder2 step3p5 talkie telechat3 youtu_llm""".split()
ALIASES = {"mistral": "llama", "iquestcoder": "llama", "minimax_m2": "minimax", "kimi_k2": "deepseek_v3",
           "joyai_llm_flash": "deepseek_v3", "llava": "mistral3", "xverse": "llama", "qwen2_5_vl": "qwen2_vl",
           "gemma4_unified": "gemma4"}

HEAD = """# Models

What runs, and how close it is to mlx-lm. Made by `tests/parity/make_models_doc.py` from the parity tests' results; do not edit.

Each case is a tiny random model (`tests/parity/architectures/`). *fp32* is the largest difference of the reference path's logits
from mlx-lm's over the largest logit (the tests allow 1e-3; the expected logits are kept with five digits). *fast* is the same between the
fast path, with fp16 K/V and int8 activations under quantized weights, and the reference path; random weights show its rounding at its
worst. That the fast path has the same bits alone and in company, in chunks, after a cached prefix and on every instruction set is
tested for each case.

A model type is **exact** here if the computation is. Folders are loaded in the form that mlx-lm's converter writes and as transformers
writes them; cases that end in `_raw`, `_awq`, `_fp8` and `_int4` are such checkpoints, read by mlx-lm's own loader for the comparison.
Which ones load is told in [model-folder.md](formats/model-folder.md).
Windows that mlx-lm ignores and transformers applies (mistral, gemma2, phi3, starcoder2, mixtral, qwen2 and qwen3 where they ask for
them) are applied, and so are rope scalings that mlx-lm does not read (mixture-of-experts models, ernie4_5, llama4_text).

Multi-head latent attention (DeepSeek and its kin) is computed in its absorbed form for prompts too, so that a token's bits do not depend
on how it is run. Its pages hold the latent twice, once in the key and once as the value: between a quarter (V2 Lite) and a
thirty-sixth (V3) of what the heads' keys and values would take, and twice what is needed.

| case | model type | fp32 | fast |
|---|---|---|---|
"""


def main():
    cases = sorted((json.loads(line) for line in open(sys.argv[1])), key=lambda case: case["case"])
    exact = {case["model_type"] for case in cases if case["reference"] < 1e-3}
    text = HEAD
    for case in cases:
        text += f"| {case['case']} | {case['model_type']} | {case['reference']:.1e} | {case['fast']:.1e} |\n"
    text += "\n## mlx-lm's model types\n\nOf mlx-lm 0.32.2.\n\n| model type | here |\n|---|---|\n"
    for name in sorted(MLX_LM_TYPES + list(ALIASES), key=str.lower):
        state = "exact" if ALIASES.get(name, name) in exact else "not yet"
        text += f"| {name} | {state} |\n"
    done = sum(name in exact for name in MLX_LM_TYPES)
    text += f"\n{done} of {len(MLX_LM_TYPES)} are exact.\n"
    with open(os.path.join(ROOT, "docs", "models.md"), "w") as file:
        file.write(text)
    print(f"{len(cases)} cases, {done} of {len(MLX_LM_TYPES)} model types")


if __name__ == "__main__":
    main()
