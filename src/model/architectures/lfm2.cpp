// LFM2 (Liquid): short convolutions, and attention in some layers. lfm2_moe has experts after some dense
// layers, chosen by sigmoids with a correction.
#include <algorithm>
#include <array>
#include <cmath>

#include "model/decoder_plan.h"
#include "model/nested_text_model.h"
#include "model/weight_rows.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 3> kLfm2ModelTypes = {"lfm2", "lfm2_moe", "lfm2-vl"};

/// The width of the MLP, which some configurations give before a rule is applied to it.
Result<std::int64_t> read_intermediate(const ConfigReader& config, std::int64_t intermediate) {
  std::int64_t width = TRY(config.integer_or("block_ff_dim", intermediate, 1, kMaxWidth));
  if (!TRY(config.boolean_or("block_auto_adjust_ff_dim", false))) return width;
  width = 2 * width / 3;
  const double factor = TRY(config.number_or("block_ffn_dim_multiplier", 1.0, 1e-3, 1e3));
  width = static_cast<std::int64_t>(factor * static_cast<double>(width));
  const std::int64_t multiple = TRY(config.integer("block_multiple_of", 1, kMaxWidth));
  width = (width + multiple - 1) / multiple * multiple;
  if (width < 1 || width > kMaxWidth)
    return config.refuse("block_ff_dim", "such that the MLP's width is at most " + std::to_string(kMaxWidth));
  return width;
}

Result<void> read_layers_lfm2(const ConfigReader& config, DecoderPlan& plan) {
  RecurrentPlan conv;
  conv.prefix = "conv.";
  conv.kernel = TRY(config.integer("conv_L_cache", 1, 64));
  conv.conv_bias = conv.projection_bias = TRY(config.boolean_or("conv_bias", false));
  std::vector<std::int64_t> full;
  if (const auto* indices = config.find("full_attn_idxs")) {
    if (!indices->is_array()) return config.refuse("full_attn_idxs", "a list of layers");
    for (const auto& index : indices->get_array()) {
      if (!index.is_int64()) return config.refuse("full_attn_idxs", "a list of layers");
      full.push_back(index.get_int64());
    }
    for (std::size_t i = 0; i < plan.layers.size(); ++i) {
      const bool attends = std::find(full.begin(), full.end(), static_cast<std::int64_t>(i)) != full.end();
      plan.layers[i].attention = attends;
      plan.layers[i].recurrent = !attends;
    }
    plan.recurrent = conv;
    return {};
  }
  if (!config.has("layer_types")) return config.refuse("layer_types", "a list with one entry a layer");
  return plan.use_recurrence(config, conv, {});
}

Result<void> read_experts_lfm2(const ConfigReader& config, bool renamed, DecoderPlan& plan) {
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_experts", "num_experts_per_tok", "moe_intermediate_size"));
  moe.router.scoring = RouterScoring::kSigmoid;
  moe.router.normalize = TRY(config.boolean_or("norm_topk_prob", true));
  moe.router.normalize_eps = 1e-6F;
  moe.router.scale = static_cast<float>(TRY(config.number_or("routed_scaling_factor", 1.0, 1e-6, 1e6)));
  moe.router_name = "feed_forward.gate";
  if (TRY(config.boolean_or("use_expert_bias", false))) moe.correction_bias = "feed_forward.expert_bias";
  moe.experts = "feed_forward.switch_mlp";
  moe.single_experts = "feed_forward.experts";
  if (!renamed) {
    moe.gate_proj = "w1";
    moe.up_proj = "w3";
    moe.down_proj = "w2";
  }
  return plan.use_experts(config, std::move(moe), "num_dense_layers");
}

Result<ModelSpec> build_text_lfm2(const ArchitectureInput& input, std::string_view prefix,
                                  const ConfigReader& config) {
  const bool has_moe = config.has("num_experts");
  ConfigNames names;
  names.head_dim.clear();
  names.eps = "norm_eps";
  // Dense models may say block_ff_dim only.
  if (!config.has(names.intermediate)) names.intermediate = "block_ff_dim";
  DecoderPlan plan = TRY(DecoderPlan::read(config, names));
  plan.set_attention_bias(false);
  plan.mlp_bias = false;
  plan.tied = true;
  plan.head_norms = HeadNorms::kEachHead;
  plan.names.final_norm = "model.embedding_norm";
  plan.names.attention_norm = "operator_norm";
  plan.names.mlp_norm = "ffn_norm";
  plan.names.o_proj = "self_attn.out_proj";
  plan.names.q_norm = "self_attn.q_layernorm";
  plan.names.k_norm = "self_attn.k_layernorm";
  // mlx-lm's conversion of models with experts renames the others' tensors as well.
  const std::string first = std::string(prefix) + "model.layers.0.feed_forward.";
  const bool renamed = has_moe && !has_module(input.weights, first + "w1");
  plan.names.gate_proj = renamed ? "feed_forward.gate_proj" : "feed_forward.w1";
  plan.names.up_proj = renamed ? "feed_forward.up_proj" : "feed_forward.w3";
  plan.names.down_proj = renamed ? "feed_forward.down_proj" : "feed_forward.w2";
  plan.names.add_prefix(prefix);
  TRY(read_layers_lfm2(config, plan));
  if (has_moe) {
    TRY(read_experts_lfm2(config, renamed, plan));
  } else {
    const std::int64_t width = TRY(read_intermediate(config, plan.layers.front().intermediate));
    for (LayerPlan& layer : plan.layers) layer.intermediate = width;
  }
  TRY(plan.add_rope(config, {.default_theta = 1e6}));
  return build_decoder(input, plan);
}

Result<ModelSpec> build_lfm2(const ArchitectureInput& input) {
  return build_text_model(input, build_text_lfm2);
}

}  // namespace

extern const Architecture lfm2_architecture;
const Architecture lfm2_architecture{kLfm2ModelTypes, build_lfm2, is_unused_beside_vision};

}  // namespace mlxd
