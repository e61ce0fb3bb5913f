// The building kit of architectures that are a stack of attention and MLP layers: a plan says in which ways
// one differs from llama, and build_decoder makes the spec of it, every tensor checked. An architecture's
// file reads the plan's common part, changes what its model does otherwise, and builds.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/architectures/architecture.h"
#include "model/model_spec.h"
#include "model/recurrent_plan.h"
#include "model/rope.h"

namespace mlxd {

/// Fields of config.json that some model types call otherwise. An empty name: not in the configuration.
struct ConfigNames {
  std::string hidden = "hidden_size";
  std::string layers = "num_hidden_layers";
  std::string intermediate = "intermediate_size";
  std::string heads = "num_attention_heads";
  std::string kv_heads = "num_key_value_heads";
  std::string head_dim = "head_dim";
  std::string eps = "rms_norm_eps";
  std::string context = "max_position_embeddings";
};

/// What a configuration means where it is silent; 0: it must not be.
struct ConfigDefaults {
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;  // 0: as many as heads
  std::int64_t head_dim = 0;  // 0: hidden / heads
  std::int64_t vocabulary = 0;
  std::int64_t intermediate_factor = 0;  // of hidden
};

/// Tensor names; those of a layer follow "LAYERS<index>.". Empty: the model has no such module.
struct DecoderNames {
  std::string embedding = "model.embed_tokens";
  std::string layers = "model.layers.";
  std::string final_norm = "model.norm";
  std::string lm_head = "lm_head";
  std::string attention_norm = "input_layernorm";
  std::string attention_post_norm{};
  std::string mlp_norm = "post_attention_layernorm";
  std::string mlp_post_norm{};
  std::string q_proj = "self_attn.q_proj";
  std::string k_proj = "self_attn.k_proj";
  std::string v_proj = "self_attn.v_proj";
  std::string o_proj = "self_attn.o_proj";
  std::string q_norm = "self_attn.q_norm";
  std::string k_norm = "self_attn.k_norm";
  std::string sinks = "self_attn.sinks";
  /// The attention's output gate; empty: none.
  std::string attention_gate{};
  /// What multiplies the layer's output; empty: nothing.
  std::string output_scale{};
  /// One tensor instead of q_proj, k_proj and v_proj.
  std::string qkv_proj{};
  std::string gate_proj = "mlp.gate_proj";
  std::string up_proj = "mlp.up_proj";
  std::string down_proj = "mlp.down_proj";
  /// One tensor instead of gate_proj and up_proj, gate first.
  std::string gate_up_proj{};

  /// Puts `prefix` before the names that are not of a layer ("language_model.").
  void add_prefix(std::string_view prefix);
  /// The norms of a layer come behind its attention and its MLP, none before them.
  void norm_outputs_only();
};

enum class QkvLayout : std::uint8_t {
  kStacked,  // all queries, all keys, all values
  kGrouped,  // for each K/V head its queries, its key, its value
};

enum class HeadNorms : std::uint8_t {
  kNone,
  kEachHead,    // over each head, the same weights for all
  kOwnWeights,  // over each head, weights [heads, head_dim]
  kAllHeads,    // over the whole width
};

struct LayerPlan {
  /// What mixes tokens: these, added.
  bool attention = true;
  bool recurrent = false;
  /// Whether an MLP or experts follow.
  bool feed_forward = true;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t intermediate = 0;
  std::int32_t window_tokens = 0;  // 0: none
  /// Of a kind that has a window, even if that is as long as the context.
  bool slides = false;
  std::optional<std::int32_t> rope = 0;
  std::optional<PositionScaling> position_scaling;
  /// An earlier layer, of the same window and heads, whose keys and values this one reads.
  std::optional<std::size_t> kv_from;
  /// v_proj is k_proj.
  bool values_are_keys = false;
  bool moe = false;
};

/// Names follow the layer's, as in DecoderNames.
struct MoePlan {
  RouterSpec router;  // all but its tensors
  std::string router_name = "mlp.gate";
  bool router_bias = false;
  std::string correction_bias;
  std::int64_t num_experts = 0;
  std::int64_t intermediate = 0;
  /// Stacked experts: NAME.{gate,up,down}_proj [experts, out, in].
  std::string experts = "mlp.switch_mlp";
  /// Where those are missing, one by one: NAME.<expert>.{names of `parts`}.
  std::string single_experts = "mlp.experts";
  std::string gate_proj = "gate_proj", up_proj = "up_proj", down_proj = "down_proj";  // of single experts
  /// Where those are missing too, as transformers stacks them: NAME [experts, 2 · intermediate, in], each
  /// gate before its up, and NAME [experts, out, intermediate].
  std::string fused_gate_up = "mlp.experts.gate_up_proj", fused_down = "mlp.experts.down_proj";
  bool fused_transposed = false;   // [experts, in, out]
  bool fused_interleaved = false;  // rows of gate and up in turns
  bool expert_bias = false;
  Activation activation = Activation::kSilu;
  bool gated = true;  // the shared expert too
  /// Of stacked experts.
  std::string stacked_up = "up_proj", stacked_down = "down_proj";
  std::string shared_expert = "mlp.shared_expert";
  /// Of the shared expert, if its gate and up are one tensor.
  std::string shared_gate_up, shared_down;
  std::int64_t shared_intermediate = 0;  // 0: no shared expert
  std::string shared_gate;
  /// Norms of MoeSpec, and tensors of RouterSpec; empty: none.
  std::string shared_norm, shared_post_norm, experts_post_norm;
  std::string router_scales, expert_scales;

  /// Takes the experts' sizes: num_experts of `intermediate`, of which a token goes to `per_token`.
  Result<void> read_sizes(const ConfigReader& config, std::string_view num_experts,
                          std::string_view per_token, std::string_view intermediate_size);
  /// Groups of experts: n_group and topk_group, whose score is that of their two best.
  Result<void> read_groups(const ConfigReader& config);
  /// "mlp.shared_experts", one MLP as wide as the `field` experts it counts.
  Result<void> read_shared(const ConfigReader& config, std::string_view field, std::int64_t fallback = 0);
  /// DeepSeek V3's: n_routed_experts in groups, chosen by sigmoids with a correction, and n_shared_experts.
  static Result<MoePlan> read_deepseek(const ConfigReader& config,
                                       std::string_view num_experts = "n_routed_experts",
                                       std::string_view num_shared = "n_shared_experts");
  /// Mixtral's names: block_sparse_moe, single experts' w1, w2, w3.
  void name_block_sparse();
};

/// Multi-head latent attention (LatentSpec) in all layers, under DeepSeek's names.
struct LatentPlan {
  std::int64_t query_rank = 0;  // 0: queries are not compressed
  std::int64_t kv_rank = 0;
  std::int64_t nope_dim = 0;
  std::int64_t rope_dim = 0;
  std::int64_t value_dim = 0;
  double eps = 1e-6;  // of the latents' norms

  /// q_lora_rank, kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim, which has a default.
  static Result<LatentPlan> read(const ConfigReader& config, std::int64_t value_dim);
};

/// Inputs of a layer's own (PerLayerEmbeddingSpec), under Gemma's names.
struct PerLayerPlan {
  std::string prefix;  // of the names that are not of a layer
  std::int64_t dim = 0;
  std::int64_t vocabulary = 0;
  double embedding_scale = 1.0;
  double projection_scale = 1.0;
  double scale = 1.0;
};

struct DecoderPlan {
  std::string model_type;
  std::int64_t hidden = 0;
  std::int64_t vocabulary = 0;
  std::int64_t context = 0;
  std::vector<LayerPlan> layers;
  DecoderNames names;
  QkvLayout qkv_layout = QkvLayout::kStacked;

  NormKind norm = NormKind::kRms;
  double eps = 1e-6;
  std::optional<double> layer_norm_eps;  // of the norms within layers, if another
  bool norm_weight = true;
  bool norm_bias = false;
  float norm_offset = 0.0F;
  HeadNorms head_norms = HeadNorms::kNone;
  bool head_norm_weight = true;
  bool value_norm = false;  // over each value, without weight
  bool norm_after_rope = false;

  /// q_proj holds, for each head, a query and then its part of the output gate.
  bool gated_queries = false;
  bool q_bias = false, k_bias = false, v_bias = false, o_bias = false, mlp_bias = false, lm_head_bias = false;
  std::optional<double> attention_scale;  // absent: 1 / √head_dim
  double attention_softcap = 0.0;
  bool sinks = false;
  bool parallel = false;
  bool gated = true;
  /// The matrices of layers are stored [in, out].
  bool transposed = false;
  Activation activation = Activation::kSilu;

  std::optional<LatentPlan> latent;
  std::optional<RecurrentPlan> recurrent;
  std::optional<PerLayerPlan> per_layer;
  std::optional<MoePlan> moe;
  std::vector<RopeSpec> ropes;
  double embedding_scale = 1.0;
  std::string position_embedding;  // tensor [positions, hidden]; empty: none
  std::int64_t num_positions = 0;
  bool embedding_norm = false;  // without weight
  double residual_scale = 1.0;
  double logits_scale = 1.0;
  double logits_softcap = 0.0;
  /// Absent: tie_word_embeddings, and where that is silent, whether there is an lm_head.
  std::optional<bool> tied;

  /// Reads sizes, eps, biases (attention_bias, mlp_bias) and what follows from them; no rope yet.
  static Result<DecoderPlan> read(const ConfigReader& config, const ConfigNames& names = {},
                                  const ConfigDefaults& defaults = {});

  /// Adds a rope that all layers use whose `rope` is its index: the first for all of them.
  Result<void> add_rope(const ConfigReader& config, RopeOptions options);
  /// Layers from `first_layer` on have experts.
  void use_experts(MoePlan experts, std::int64_t first_layer = 0);
  /// The same from the layer on that `field` says, 0 where it is silent.
  Result<void> use_experts(const ConfigReader& config, MoePlan experts, std::string_view field,
                           std::int64_t fallback = 0);
  /// Of the layers with experts only those whose index is a multiple of `field` keep them.
  Result<void> thin_experts(const ConfigReader& config, std::string_view field);
  /// The layers that `field` lists, if there is one, have no experts.
  Result<void> keep_dense(const ConfigReader& config, std::string_view field);
  /// Layers for which `attends` is false are recurrent instead: that, or what layer_types calls neither
  /// full_attention nor attention, where it is given.
  Result<void> use_recurrence(const ConfigReader& config, RecurrentPlan plan,
                              const std::function<bool(std::size_t)>& attends);
  /// The layers of a plan that was read with qk_rope_head_dim as its head_dim get latent attention.
  Result<void> use_latents(const ConfigReader& config, std::int64_t default_value_dim = 0);
  void set_attention_bias(bool bias) { q_bias = k_bias = v_bias = o_bias = bias; }
  void set_qkv_bias(bool bias) { q_bias = k_bias = v_bias = bias; }
  /// Gives the sliding layers the window `sliding_window`, unless that is absent or as long as the context:
  /// those that layer_types calls so, or where that is absent those of which `slides` is true.
  Result<void> read_windows(const ConfigReader& config, const std::function<bool(std::size_t)>& slides);
  /// The same where use_sliding_window says so, for the layers from max_window_layers on.
  Result<void> read_late_windows(const ConfigReader& config);
};

/// Refuses a configuration whose hidden_act is none of `names`, unless it is silent.
Result<void> expect_activation(const ConfigReader& config, std::initializer_list<std::string_view> names);

/// Dimensions of a head that rotate: an even whole part of head_dim.
Result<std::int32_t> read_rotary_dim(const ConfigReader& config, std::int64_t head_dim,
                                     double fallback_factor,
                                     std::string_view field = "partial_rotary_factor");

/// Part of the rows of a layer whose tensors hold several.
LinearSpec take_rows(const LinearSpec& whole, std::int64_t first, std::int64_t count, std::int64_t run,
                     std::int64_t period);

Result<ModelSpec> build_decoder(const ArchitectureInput& input, const DecoderPlan& plan);

/// Tensors of layers past the model's, which predict further tokens.
bool is_past_layers(const ModelSpec& spec, std::string_view tensor_name);

/// Precomputed rotary frequencies, and the head of tied embeddings.
bool is_unused_in_decoder(const ModelSpec& spec, std::string_view tensor_name);

}  // namespace mlxd
