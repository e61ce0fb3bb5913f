"""The tiny models that make_architectures.py makes: one row for each architecture and each variant that matters.

`module` is mlx-lm's (mlx_lm/models/MODULE.py), `config` a config.json. Options: norm_offset: norms add 1 to their weights; tied:
leave out lm_head; ranges: limits for tensors whose name contains a text; skip_cache: mlx-lm's own caches disagree with its
computation without one; raw: functions of raw_checkpoints.py that turn the rules of MLX's tensors into those of a checkpoint as
transformers writes it, which mlx-lm then loads itself.
"""

import raw_checkpoints as raw_forms

SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": 64,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
QUANTIZED = {"group_size": 64, "bits": 4}
CASES = {}


def add(name, module=None, without=(), options=None, **changes):
    config = {"model_type": module or name, **SIZES, **changes}
    for field in without:
        del config[field]
    CASES[name] = {"module": module or name, "config": config, **(options or {})}


# Llama and its kin.
add("llama")
add("llama_tied_biased", "llama", tie_word_embeddings=True, attention_bias=True, mlp_bias=True, head_dim=32)
add("llama_quantized", "llama", quantization=QUANTIZED)
add("llama_mixed", "llama", quantization={
    "group_size": 64, "bits": 4, "model.layers.0.self_attn.v_proj": {"group_size": 32, "bits": 8},
    "model.layers.1.mlp.down_proj": {"group_size": 64, "bits": 6}, "model.embed_tokens": {"group_size": 32, "bits": 3},
    "lm_head": False})
add("llama_windows", "llama", num_hidden_layers=4, sliding_window=20,
    layer_types=["sliding_attention", "full_attention", "sliding_attention", "full_attention"])
add("llama_rope_linear", "llama", rope_scaling={"type": "linear", "factor": 4.0})
add("llama_rope_llama3", "llama", rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                                "high_freq_factor": 4.0, "original_max_position_embeddings": 64})
add("llama_rope_yarn", "llama", rope_scaling={"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64})
add("llama_rope_dynamic", "llama", rope_scaling={"rope_type": "dynamic", "factor": 2.0})
add("llama_rope_traditional", "llama", rope_traditional=True)
LONG = {"rope_type": "longrope", "original_max_position_embeddings": 64, "short_factor": [1.0] * 8,
        "long_factor": [1.0, 1.1, 1.3, 1.7, 2.0, 3.0, 5.0, 9.0]}
add("llama_rope_longrope", "llama", rope_scaling=LONG)
add("smollm3", num_hidden_layers=4, no_rope_layer_interval=2)
add("ministral3", without=("rope_theta",), head_dim=32, num_hidden_layers=3, sliding_window=24,
    layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    rope_parameters={"rope_theta": 10000.0, "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
                     "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
                     "llama_4_scaling_beta": 0.1})
CASES["mistral3"] = {"module": "mistral3", "config": {
    "model_type": "mistral3", "text_config": {"model_type": "mistral", **SIZES, "head_dim": 32}}}
CASES["mistral3_ministral"] = {"module": "mistral3", "config": {
    "model_type": "mistral3", "text_config": CASES["ministral3"]["config"]}}

# Qwen.
add("qwen2")
add("qwen2_quantized", "qwen2", tie_word_embeddings=True, quantization=QUANTIZED)
add("qwen3", head_dim=32)
add("qwen3_quantized", "qwen3", head_dim=32, tie_word_embeddings=True, quantization=QUANTIZED)

# Gemma.
add("gemma", head_dim=32, without=("tie_word_embeddings",), options={"norm_offset": True})
add("gemma2", head_dim=32, without=("tie_word_embeddings",), query_pre_attn_scalar=24.0, sliding_window=4096,
    attn_logit_softcapping=5.0, final_logit_softcapping=20.0, options={"norm_offset": True})
add("gemma3_text", head_dim=32, without=("tie_word_embeddings",), num_hidden_layers=4, query_pre_attn_scalar=24,
    sliding_window=20, sliding_window_pattern=3, rope_theta=1e6, rope_local_base_freq=1e4,
    rope_scaling={"rope_type": "linear", "factor": 8.0}, options={"norm_offset": True, "tied": True})
CASES["gemma3"] = {"module": "gemma3", "norm_offset": True, "tied": True, "config": {
    "model_type": "gemma3", "vocab_size": 64, "text_config": {
        **{k: v for k, v in CASES["gemma3_text"]["config"].items()}, "quantization": None}}}
del CASES["gemma3"]["config"]["text_config"]["quantization"]

# Others with dense MLPs.
add("phi3", rope_traditional=False, original_max_position_embeddings=64, partial_rotary_factor=0.75,
    num_attention_heads=2, num_key_value_heads=1,
    rope_scaling={"type": "longrope", "short_factor": [1.0] * 12, "long_factor": [1.0 + 0.3 * i for i in range(12)]})
add("phi3_quantized", "phi3", quantization=QUANTIZED)
add("glm", attention_bias=True, head_dim=32)
add("glm4", attention_bias=True, head_dim=32, partial_rotary_factor=0.5)
add("glm4_quantized", "glm4", attention_bias=False, head_dim=32, partial_rotary_factor=0.5, quantization=QUANTIZED)
add("olmo2")
add("olmo3", num_hidden_layers=4, sliding_window=20,
    rope_scaling={"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64})
add("granite", logits_scaling=4.0, attention_multiplier=0.2, embedding_multiplier=3.0, residual_multiplier=0.5,
    attention_bias=True, mlp_bias=True)
add("cohere", without=("tie_word_embeddings", "rms_norm_eps"), layer_norm_eps=1e-5, logit_scale=0.25, use_qk_norm=True)
add("cohere_biased", "cohere", without=("tie_word_embeddings", "rms_norm_eps"), layer_norm_eps=1e-5, logit_scale=0.25,
    attention_bias=True, layer_norm_bias=True)
add("cohere2", without=("tie_word_embeddings", "rms_norm_eps"), layer_norm_eps=1e-5, logit_scale=0.25, head_dim=16,
    num_hidden_layers=4, sliding_window=20, sliding_window_pattern=2)
add("seed_oss", head_dim=32, attention_bias=True, attention_out_bias=False, mlp_bias=True)
add("exaone", "exaone", without=("num_hidden_layers", "rms_norm_eps"), num_layers=2, layer_norm_epsilon=1e-5)
add("exaone4", head_dim=16, num_hidden_layers=4, sliding_window=20, sliding_window_pattern="LLLG", rope_scaling=None)
add("starcoder2", without=("rms_norm_eps",), norm_epsilon=1e-5)
add("starcoder2_tied", "starcoder2", without=("rms_norm_eps",), norm_epsilon=1e-5, tie_word_embeddings=True)
add("stablelm", without=("rms_norm_eps", "tie_word_embeddings"), layer_norm_eps=1e-5, use_qkv_bias=True,
    partial_rotary_factor=0.25, num_attention_heads=2, num_key_value_heads=2)
add("stablelm_parallel", "stablelm", without=("rms_norm_eps", "tie_word_embeddings"), layer_norm_eps=1e-5,
    use_qkv_bias=False, partial_rotary_factor=0.5, use_parallel_residual=True)
add("internlm2", bias=True)
add("internlm2_quantized", "internlm2", bias=False, quantization=QUANTIZED)
add("internlm3", bias=True, qkv_bias=True)
add("minicpm", scale_depth=1.4, scale_emb=12.0, dim_model_base=32)
add("helium", head_dim=16, attention_bias=False, mlp_bias=False)
add("nanochat", num_key_value_heads=4, without=("tie_word_embeddings", "rms_norm_eps"))
add("hunyuan_v1_dense", head_dim=32, rope_scaling={"type": "dynamic", "alpha": 100.0, "factor": 1.0})
add("ernie4_5", head_dim=32, use_bias=True)
add("mimo", num_nextn_predict_layers=1)
add("nemotron", without=("rms_norm_eps",), norm_eps=1e-5, hidden_act="relu2", partial_rotary_factor=0.5, head_dim=32,
    options={"norm_offset": True})
add("phi", without=("rms_norm_eps", "tie_word_embeddings"), layer_norm_eps=1e-5, partial_rotary_factor=0.5)

# Mixtures of experts.
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
LOCAL_EXPERTS = {"num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 64}
ROUTED_EXPERTS = {"n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 64, "n_shared_experts": 2,
                  "first_k_dense_replace": 1, "norm_topk_prob": True, "routed_scaling_factor": 1.5}
add("mixtral", **LOCAL_EXPERTS)
add("mixtral_quantized", "mixtral", quantization=QUANTIZED, **LOCAL_EXPERTS)
add("phimoe", without=("tie_word_embeddings",), router_jitter_noise=0.2, original_max_position_embeddings=64, **LOCAL_EXPERTS,
    rope_scaling={"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.0 + i for i in range(8)],
                  "short_mscale": 1.2, "long_mscale": 1.2})
add("qwen2_moe", shared_expert_intermediate_size=96, **EXPERTS)
add("qwen3_moe", head_dim=32, num_hidden_layers=3, decoder_sparse_step=1, mlp_only_layers=[1], norm_topk_prob=True, **EXPERTS)
add("qwen3_moe_quantized", "qwen3_moe", head_dim=32, decoder_sparse_step=1, mlp_only_layers=[], norm_topk_prob=True, **EXPERTS,
    quantization={**QUANTIZED, "model.layers.0.mlp.gate": {"group_size": 64, "bits": 8},
                  "model.layers.1.mlp.gate": {"group_size": 64, "bits": 8}})
add("olmoe", intermediate_size=64, num_experts=8, num_experts_per_tok=2, norm_topk_prob=False)
add("minimax", head_dim=32, rotary_dim=16, shared_intermediate_size=0, **LOCAL_EXPERTS)
add("gpt_oss", without=("tie_word_embeddings",), head_dim=32, sliding_window=20, **LOCAL_EXPERTS,
    rope_scaling={"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "beta_fast": 32.0, "beta_slow": 1.0})
add("gpt_oss_quantized", "gpt_oss", without=("tie_word_embeddings",), head_dim=32, sliding_window=20, quantization=QUANTIZED,
    num_local_experts=8, num_experts_per_tok=4, intermediate_size=64)
add("glm4_moe", head_dim=32, partial_rotary_factor=0.5, attention_bias=True, use_qk_norm=True, n_group=1, topk_group=1,
    topk_method="noaux_tc", scoring_func="sigmoid", rope_scaling=None, **ROUTED_EXPERTS)
add("glm4_moe_groups", "glm4_moe", head_dim=32, partial_rotary_factor=0.5, attention_bias=False, use_qk_norm=False, n_group=4,
    topk_group=2, topk_method="noaux_tc", scoring_func="sigmoid", rope_scaling=None, **ROUTED_EXPERTS,
    options={"ranges": {"e_score_correction_bias": [0.0, 0.5]}})
add("dots1", n_group=1, topk_group=1, scoring_func="sigmoid", **ROUTED_EXPERTS)
add("deepseek", without=("tie_word_embeddings",), n_routed_experts=8, num_experts_per_tok=2, n_shared_experts=2,
    moe_intermediate_size=64, first_k_dense_replace=1)
add("granitemoe", logits_scaling=4.0, attention_multiplier=0.2, embedding_multiplier=3.0, residual_multiplier=0.5,
    attention_bias=False, **LOCAL_EXPERTS)
add("ernie4_5_moe", num_hidden_layers=3, use_bias=False, moe_num_experts=8, moe_k=2, moe_intermediate_size=64,
    moe_layer_start_index=1, moe_num_shared_experts=2)
add("bailing_moe", num_shared_experts=1, norm_topk_prob=True, first_k_dense_replace=1, use_qk_norm=True,
    score_function="sigmoid", n_group=4, topk_group=2, moe_router_enable_expert_bias=True, routed_scaling_factor=2.5, **EXPERTS,
    options={"ranges": {"expert_bias": [0.0, 0.5]}})
add("bailing_moe_softmax", "bailing_moe", num_shared_experts=2, norm_topk_prob=True, first_k_dense_replace=0, n_group=1,
    topk_group=1, **EXPERTS)
add("afmoe", num_hidden_layers=3, num_dense_layers=1, num_shared_experts=1, sliding_window=20, head_dim=16,
    layer_types=["sliding_attention", "sliding_attention", "full_attention"], **EXPERTS)
add("llama4_text", intermediate_size_mlp=128, head_dim=16, use_qk_norm=True, no_rope_layers=[1, 0])

# Latent attention.
LATENT = {"kv_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 24, "num_key_value_heads": 4}
V3 = {**ROUTED_EXPERTS, "topk_method": "noaux_tc", "scoring_func": "sigmoid"}
V2_YARN = {"type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1,
           "mscale": 0.707, "mscale_all_dim": 0.707}
add("deepseek_v2", without=("tie_word_embeddings",), q_lora_rank=None, rope_scaling=V2_YARN, topk_method="greedy",
    moe_layer_freq=1, **LATENT, **ROUTED_EXPERTS)
add("deepseek_v2_groups", "deepseek_v2", without=("tie_word_embeddings",), q_lora_rank=48, rope_scaling=V2_YARN,
    topk_method="group_limited_greedy", n_group=4, topk_group=2, attention_bias=True, **LATENT, **ROUTED_EXPERTS)
QUANTIZED_LATENT = {**LATENT, "kv_lora_rank": 64, "qk_nope_head_dim": 64}
add("deepseek_v2_quantized", "deepseek_v2", without=("tie_word_embeddings",), q_lora_rank=64, rope_scaling=V2_YARN,
    topk_method="greedy", **{**QUANTIZED_LATENT, "v_head_dim": 32}, **ROUTED_EXPERTS, quantization=QUANTIZED)
add("deepseek_v3", without=("tie_word_embeddings",), q_lora_rank=48, rope_scaling={**V2_YARN, "mscale": 1.0, "mscale_all_dim": 1.0},
    n_group=4, topk_group=2, **LATENT, **V3, options={"ranges": {"e_score_correction_bias": [0.0, 0.5]}})
add("deepseek_v3_plain", "deepseek_v3", without=("tie_word_embeddings",), q_lora_rank=None, rope_scaling=None,
    n_group=1, topk_group=1, attention_bias=True, **LATENT, **V3)
# All experts of each token: random weights choose between near ties, which rounding decides.
add("deepseek_v3_quantized", "deepseek_v3", without=("tie_word_embeddings",), q_lora_rank=64, rope_scaling=None,
    n_group=1, topk_group=1, **{**QUANTIZED_LATENT, "v_head_dim": 32}, **{**V3, "num_experts_per_tok": 8}, quantization=QUANTIZED)
add("glm4_moe_lite", without=("tie_word_embeddings",), q_lora_rank=48, rope_scaling=None, n_group=1, topk_group=1, **LATENT, **V3)
add("youtu_llm", q_lora_rank=48, rope_scaling=None, **{**LATENT, "v_head_dim": 32})
CASES["youtu_llm"]["config"]["tie_word_embeddings"] = True
add("minicpm3", q_lora_rank=48, scale_depth=1.4, scale_emb=12.0, dim_model_base=32, **{k: v for k, v in LATENT.items() if k != "v_head_dim"},
    rope_scaling={"type": "longrope", "original_max_position_embeddings": 64, "short_factor": [1.0] * 8,
                  "long_factor": [1.0, 1.1, 1.3, 1.7, 2.0, 3.0, 5.0, 9.0]})
add("mistral4", without=("rope_theta",), q_lora_rank=48, n_group=4, topk_group=2, **LATENT, **ROUTED_EXPERTS,
    rope_parameters={"rope_theta": 10000.0, "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
                     "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1})
CASES["mistral3_mistral4"] = {"module": "mistral3", "config": {"model_type": "mistral3", "text_config": CASES["mistral4"]["config"]}}
CASES["kimi_k25"] = {"module": "kimi_k25", "config": {"model_type": "kimi_k25", "text_config": CASES["deepseek_v3"]["config"]},
                     "ranges": {"e_score_correction_bias": [0.0, 0.5]}}
CASES["kimi_vl"] = {"module": "kimi_vl", "config": {"model_type": "kimi_vl", "text_config": CASES["deepseek_v3_plain"]["config"]}}

# Text models inside vision models.
CASES["qwen2_vl"] = {"module": "qwen2_vl", "config": {**CASES["qwen2"]["config"], "model_type": "qwen2_vl", "rope_scaling": {
    "type": "mrope", "mrope_section": [2, 3, 3]}}}
CASES["qwen3_vl"] = {"module": "qwen3_vl", "config": {"model_type": "qwen3_vl", "text_config": CASES["qwen3"]["config"]}}
CASES["qwen3_vl_moe"] = {"module": "qwen3_vl_moe", "config": {"model_type": "qwen3_vl_moe", "text_config": CASES["qwen3_moe"]["config"]}}
CASES["pixtral"] = {"module": "pixtral", "config": {"model_type": "pixtral", "text_config": {
    "model_type": "mistral", **SIZES, "head_dim": 32}}}

# Others.
GPT = {"n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 512, "layer_norm_epsilon": 1e-5, "vocab_size": 64}
CASES["gpt2"] = {"module": "gpt2", "config": {"model_type": "gpt2", "n_ctx": 512, **GPT}}
CASES["gpt_bigcode"] = {"module": "gpt_bigcode", "config": {"model_type": "gpt_bigcode", "n_inner": 128, **GPT}}
add("gpt_neox", without=("rms_norm_eps", "rope_theta", "tie_word_embeddings", "intermediate_size", "num_key_value_heads"),
    layer_norm_eps=1e-5, rotary_emb_base=10000, rotary_pct=0.25, num_attention_heads=2)
add("gpt_neox_sequential", "gpt_neox", without=("rms_norm_eps", "rope_theta", "tie_word_embeddings", "intermediate_size",
                                                "num_key_value_heads"),
    layer_norm_eps=1e-5, rotary_emb_base=10000, rotary_pct=0.5, use_parallel_residual=False)
add("telechat3", head_dim=32)
add("solar_open", head_dim=32, partial_rotary_factor=1.0, attention_bias=False, use_qk_norm=False, n_group=1, topk_group=1,
    topk_method="noaux_tc", scoring_func="sigmoid", rope_scaling=None, **ROUTED_EXPERTS)
add("exaone_moe", head_dim=16, num_hidden_layers=3, sliding_window=20, num_shared_experts=1, is_moe_layer=[False, True, True],
    layer_types=["sliding_attention", "sliding_attention", "full_attention"], n_group=4, topk_group=2, **EXPERTS,
    options={"ranges": {"e_score_correction_bias": [0.0, 0.5]}})

# Gemma 4: layers that read others' K/V and have inputs of their own; keys for values; the text model inside.
GEMMA4 = {"head_dim": 32, "global_head_dim": 64, "num_hidden_layers": 6, "sliding_window": 20, "sliding_window_pattern": 3,
          "final_logit_softcapping": 20.0, "rope_parameters": {
              "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
              "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}}}
GEMMA4_OPTIONS = {"ranges": {"layer_scalar": [0.6, 1.0]}}
add("gemma4_text", without=("rope_theta", "tie_word_embeddings"), num_kv_shared_layers=2, hidden_size_per_layer_input=32,
    vocab_size_per_layer_input=64, **GEMMA4, options=GEMMA4_OPTIONS)
add("gemma4_text_quantized", "gemma4_text", without=("rope_theta", "tie_word_embeddings"), num_kv_shared_layers=2,
    hidden_size_per_layer_input=64, vocab_size_per_layer_input=64,
    **{**GEMMA4, "num_hidden_layers": 4, "sliding_window_pattern": 2}, quantization=QUANTIZED, options=GEMMA4_OPTIONS)
add("gemma4_text_keys", "gemma4_text", without=("rope_theta", "tie_word_embeddings"), num_kv_shared_layers=0,
    hidden_size_per_layer_input=0, attention_k_eq_v=True, num_global_key_value_heads=1, **GEMMA4, options=GEMMA4_OPTIONS)
CASES["gemma4"] = {"module": "gemma4", **GEMMA4_OPTIONS, "config": {
    "model_type": "gemma4", "vocab_size": 64, "text_config": {**CASES["gemma4_text"]["config"]}}}

# Recurrent layers: short convolutions, gated delta nets, Mamba-2; with attention in some layers, beside it or without.
LFM2 = {"norm_eps": 1e-5, "conv_bias": False, "conv_L_cache": 3, "num_hidden_layers": 4,
        "layer_types": ["conv", "full_attention", "conv", "conv"]}
LFM2_WITHOUT = ("rms_norm_eps", "tie_word_embeddings")
BLOCKS = {"block_dim": 64, "block_ff_dim": 128, "block_multiple_of": 32, "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": True}
add("lfm2", without=LFM2_WITHOUT, **LFM2, **BLOCKS)
add("lfm2_biased", "lfm2", without=LFM2_WITHOUT, **{**LFM2, "conv_bias": True, "conv_L_cache": 4}, **BLOCKS, full_attn_idxs=[2])
add("lfm2_quantized", "lfm2", without=LFM2_WITHOUT, **LFM2, **{**BLOCKS, "block_auto_adjust_ff_dim": False}, quantization=QUANTIZED)
add("lfm2_moe", without=LFM2_WITHOUT, **LFM2, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=32, norm_topk_prob=True,
    use_expert_bias=True, num_dense_layers=2, options={"ranges": {"expert_bias": [0.0, 0.5]}})
CASES["lfm2_vl"] = {"module": "lfm2-vl", "config": {"model_type": "lfm2-vl", "text_config": {**CASES["lfm2"]["config"]}}}
DELTA = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 32,
         "linear_conv_kernel_dim": 4, "full_attention_interval": 2, "num_hidden_layers": 4, "head_dim": 32}
SHARED_EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "decoder_sparse_step": 1, "shared_expert_intermediate_size": 48,
                  "moe_intermediate_size": 32, "norm_topk_prob": True, "mlp_only_layers": []}
DELTA_RANGES = {"ranges": {"A_log": [-1.5, 1.0], "dt_bias": [-1.0, 1.0]}}
add("qwen3_next", partial_rotary_factor=0.25, **DELTA, **{**SHARED_EXPERTS, "mlp_only_layers": [1]}, options=DELTA_RANGES)
add("qwen3_5_text", "qwen3_5", without=("rope_theta",), **DELTA,
    rope_parameters={"type": "default", "mrope_section": [1, 2, 1], "rope_theta": 100000, "partial_rotary_factor": 0.25}, options=DELTA_RANGES)
DENSE35 = CASES.pop("qwen3_5_text")["config"]
CASES["qwen3_5"] = {"module": "qwen3_5", "config": {"model_type": "qwen3_5", "text_config": {**DENSE35, "model_type": "qwen3_5_text"}},
                    **DELTA_RANGES}
CASES["qwen3_5_quantized"] = {"module": "qwen3_5", "config": {
    "model_type": "qwen3_5", "text_config": {**DENSE35, "model_type": "qwen3_5_text", "linear_value_head_dim": 64},
    "quantization": QUANTIZED}, **DELTA_RANGES}
CASES["qwen3_5_moe"] = {"module": "qwen3_5_moe", "config": {"model_type": "qwen3_5_moe", "text_config": {
    **DENSE35, **SHARED_EXPERTS, "model_type": "qwen3_5_moe_text"}}, **DELTA_RANGES}
MAMBA_RANGES = {"ranges": {"A_log": [-1.5, 1.0], "dt_bias": [-1.0, 1.0], ".D": [0.5, 1.5]}}
GRANITE4 = {"embedding_multiplier": 3.0, "attention_multiplier": 0.2, "logits_scaling": 2.0, "residual_multiplier": 0.5,
            "attention_bias": False, "num_hidden_layers": 4, "layer_types": ["mamba", "attention", "mamba", "mamba"],
            "mamba_n_heads": 4, "mamba_d_head": 32, "mamba_proj_bias": False, "mamba_d_state": 16, "mamba_d_conv": 4,
            "mamba_n_groups": 1, "mamba_conv_bias": True}
add("granitemoehybrid", **GRANITE4, num_local_experts=8, num_experts_per_tok=2, shared_intermediate_size=48,
    position_embedding_type="nope", options=MAMBA_RANGES)
add("granitemoehybrid_dense", "granitemoehybrid", **{**GRANITE4, "mamba_n_groups": 2, "mamba_proj_bias": True}, time_step_limit=[0.1, 0.9],
    options=MAMBA_RANGES)
NEMOTRON = {"attention_bias": False, "mamba_num_heads": 4, "mamba_head_dim": 32, "mamba_proj_bias": False, "ssm_state_size": 16,
            "conv_kernel": 4, "n_groups": 2, "mlp_bias": False, "layer_norm_epsilon": 1e-5, "use_bias": False, "use_conv_bias": True,
            "head_dim": 32}
NEMOTRON_WITHOUT = ("rms_norm_eps", "rope_theta", "tie_word_embeddings")
add("nemotron_h", without=NEMOTRON_WITHOUT, **NEMOTRON, num_hidden_layers=5, hybrid_override_pattern=list("M-*M-"), options=MAMBA_RANGES)
add("nemotron_h_moe", "nemotron_h", without=NEMOTRON_WITHOUT + ("num_hidden_layers",), **NEMOTRON,
    layers_block_type=["mamba", "moe", "attention", "moe"], n_routed_experts=8, num_experts_per_tok=2, moe_intermediate_size=32,
    n_shared_experts=1, moe_shared_expert_intermediate_size=48, n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.5,
    options={"ranges": {**MAMBA_RANGES["ranges"], "e_score_correction_bias": [0.0, 0.5]}})
CASES["mamba2"] = {"module": "mamba2", **MAMBA_RANGES, "config": {
    "model_type": "mamba2", "num_heads": 4, "head_dim": 32, "vocab_size": 64, "hidden_size": 64, "intermediate_size": 128, "state_size": 16,
    "num_hidden_layers": 3, "layer_norm_epsilon": 1e-5, "conv_kernel": 4, "n_groups": 2, "use_bias": False, "use_conv_bias": True,
    "tie_word_embeddings": False, "time_step_limit": [0.0, 100.0], "time_step_rank": "auto", "max_position_embeddings": 512}}
add("falcon_h1", head_dim=16, mamba_n_heads=4, mamba_d_head=32, mamba_d_ssm=128, mamba_d_state=16, mamba_n_groups=2,
    options=MAMBA_RANGES)
add("falcon_h1_tied", "falcon_h1", head_dim=32, mamba_n_heads=4, mamba_d_head=16, mamba_d_ssm=64, mamba_d_state=32, mamba_n_groups=1,
    options=MAMBA_RANGES)
CASES["falcon_h1_tied"]["config"]["tie_word_embeddings"] = True
add("mellum", without=("rope_theta",), head_dim=32, num_hidden_layers=3, sliding_window=20, num_experts=8, num_experts_per_tok=2,
    moe_intermediate_size=32, norm_topk_prob=True, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    rope_parameters={"full_attention": {"rope_theta": 1000000.0, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
                     "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}})
CASES["qwen"] = {"module": "qwen", "config": {
    "model_type": "qwen", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "kv_channels": 16, "max_position_embeddings": 512,
    "layer_norm_epsilon": 1e-6, "intermediate_size": 256, "no_bias": True, "vocab_size": 64}}
# All experts of each token, as in deepseek_v3_quantized.
GEMMA4_MOE = {**GEMMA4, "enable_moe_block": True, "num_experts": 8, "top_k_experts": 8, "moe_intermediate_size": 48}
GEMMA4_MOE_OPTIONS = {"ranges": {**GEMMA4_OPTIONS["ranges"], "router.scale": [3.0, 6.0], "per_expert_scale": [0.5, 1.5]}}
add("gemma4_text_moe", "gemma4_text", without=("rope_theta", "tie_word_embeddings"), num_kv_shared_layers=0,
    hidden_size_per_layer_input=0, attention_k_eq_v=True, num_global_key_value_heads=1, **GEMMA4_MOE, options=GEMMA4_MOE_OPTIONS)

# Checkpoints as transformers writes them.
def add_raw(case, *forms, config=None, **options):
    source = CASES[case]
    CASES[case + "_raw"] = {**source, "config": config or source["config"], "raw": forms, **options}


EXPERTS_FUSED = raw_forms.fused("experts.gate_up_proj", "experts.down_proj")
LINEARS_FUSED = raw_forms.fused("input_linear.weight", "output_linear.weight")
add_raw("mistral3", raw_forms.nested)
add_raw("qwen2_vl", raw_forms.at_the_top)
# All experts of each token, as in deepseek_v3_quantized.
ALL_EXPERTS = CASES["qwen3_vl_moe"]["config"]
ALL_EXPERTS = {**ALL_EXPERTS, "text_config": {**ALL_EXPERTS["text_config"], "num_experts_per_tok": ALL_EXPERTS["text_config"]["num_experts"]}}
add_raw("qwen3_vl_moe", raw_forms.nested, raw_forms.fused("experts.gate_up_proj", "experts.down_proj", transposed=True), config=ALL_EXPERTS)
add_raw("qwen3_5", raw_forms.norms_less_one, raw_forms.whole_convolutions, raw_forms.nested)
add_raw("qwen3_5_moe", raw_forms.norms_less_one, raw_forms.whole_convolutions, raw_forms.nested, EXPERTS_FUSED)
add_raw("mistral4", EXPERTS_FUSED)
add_raw("gemma4_text_moe", raw_forms.fused("gate_up_proj", "down_proj", stack="switch_glu"))
add_raw("gpt_oss", raw_forms.gpt_oss, config={**CASES["gpt_oss"]["config"], "quantization_config": {
    "quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens"]}})
add_raw("granitemoe", LINEARS_FUSED)
add_raw("granitemoehybrid", raw_forms.whole_convolutions, LINEARS_FUSED)
add_raw("lfm2_moe", raw_forms.whole_convolutions, raw_forms.single_experts({"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}),
        raw_forms.renamed((r"feed_forward\.gate_proj\.", "feed_forward.w1."), (r"feed_forward\.up_proj\.", "feed_forward.w3."),
                          (r"feed_forward\.down_proj\.", "feed_forward.w2.")))
add_raw("nemotron_h_moe", raw_forms.whole_convolutions, raw_forms.single_experts({"fc1": "up_proj", "fc2": "down_proj"}))
add_raw("exaone_moe", raw_forms.renamed((r"mlp\.gate\.e_score", "mlp.e_score")))
add_raw("gpt2", raw_forms.transposed("c_attn.weight", "c_proj.weight", "c_fc.weight"), raw_forms.renamed((r"^model\.", "")),
        raw_forms.with_extra(**{"h.0.attn.bias": ["F32", [1, 1, 8, 8], 0.0, 1.0]}))
add_raw("gpt_neox", raw_forms.renamed((r"^model\.h\.", "gpt_neox.layers."), (r"^model\.embed_out", "embed_out"), (r"^model\.", "gpt_neox.")))

# Quantized by other tools.
SINGLE_EXPERTS = raw_forms.single_experts({n: n for n in ("gate_proj", "up_proj", "down_proj")})
add("llama_awq", "llama", num_hidden_layers=2, quantization_config={
    "quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True, "version": "gemm"})
CASES["llama_awq"]["raw"] = (raw_forms.in_halves, raw_forms.awq(64))
add("deepseek_v3_fp8", "deepseek_v3", without=("tie_word_embeddings",), intermediate_size=192, q_lora_rank=48,
    rope_scaling=None, n_group=1, topk_group=1, **LATENT, **V3, quantization_config={
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]})
CASES["deepseek_v3_fp8"]["raw"] = (raw_forms.joined_latents, SINGLE_EXPERTS, raw_forms.fp8(128))
add("minimax_fp8", "minimax", num_local_experts=8, num_experts_per_tok=2, intermediate_size=192,
    head_dim=32, rotary_dim=16, use_qk_norm=True, scoring_func="sigmoid", shared_intermediate_size=0, quantization_config={
        "quant_method": "fp8", "weight_block_size": [128, 128]})
CASES["minimax_fp8"]["raw"] = (raw_forms.single_experts({"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}), raw_forms.fp8(128))
add("deepseek_v3_int4", "deepseek_v3", without=("tie_word_embeddings",), q_lora_rank=48, rope_scaling=None, n_group=1, topk_group=1,
    **LATENT, **V3, quantization_config={"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {
        "group_0": {"weights": {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}}}})
CASES["deepseek_v3_int4"]["raw"] = (raw_forms.joined_latents, SINGLE_EXPERTS, raw_forms.packed_experts)
