// ERNIE 4.5 MoE: ernie4_5 with experts in some layers, and shared ones.
#include <algorithm>
#include <array>
#include <string>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kErnie45MoeModelTypes = {"ernie4_5_moe"};

/// A layer's index, or the smallest or largest of a list of them.
Result<std::int64_t> read_bound(const ConfigReader& config, std::string_view field, std::int64_t fallback,
                                bool largest) {
  const auto* value = config.find(field);
  if (value == nullptr || !value->is_array()) return config.integer_or(field, fallback, 0, kMaxLayers);
  std::int64_t bound = largest ? 0 : kMaxLayers;
  for (const auto& entry : value->get_array()) {
    const std::int64_t* index = entry.if_int64();
    if (index == nullptr || *index < 0 || *index > kMaxLayers)
      return config.refuse(field, "a layer's index or a list of them");
    bound = largest ? std::max(bound, *index) : std::min(bound, *index);
  }
  return bound;
}

/// Multi-token prediction, and the router's bias that only training uses.
bool is_unused_ernie4_5_moe(const ModelSpec& spec, std::string_view tensor_name) {
  return tensor_name.find("mtp_") != std::string_view::npos ||
         tensor_name.ends_with("e_score_correction_bias") || is_unused_in_decoder(spec, tensor_name);
}

Result<ModelSpec> build_ernie4_5_moe(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  const bool bias = TRY(config.boolean_or("use_bias", false));
  plan.set_attention_bias(bias);
  plan.mlp_bias = bias;
  TRY(plan.add_rope(config, {.traditional = true}));
  MoePlan moe;
  const bool own_width = TRY(config.integer_or("moe_intermediate_size", 0, 0, kMaxWidth)) > 0;
  TRY(moe.read_sizes(config, "moe_num_experts", "moe_k",
                     own_width ? "moe_intermediate_size" : "intermediate_size"));
  const std::string activation = TRY(config.string_or("moe_gate_act", "softmax"));
  if (activation != "softmax" && activation != "sigmoid")
    return config.refuse_unsupported("moe_gate_act", "softmax and sigmoid are");
  moe.router.scoring = activation == "sigmoid" ? RouterScoring::kSigmoid : RouterScoring::kSoftmax;
  moe.router.normalize = true;
  moe.router.normalize_eps = 1e-12F;
  moe.expert_bias = bias;
  TRY(moe.read_shared(config, "moe_num_shared_experts"));
  plan.moe = std::move(moe);
  const auto last_layer = static_cast<std::int64_t>(plan.layers.size()) - 1;
  const std::int64_t first = TRY(read_bound(config, "moe_layer_start_index", 0, false));
  const std::int64_t last = TRY(read_bound(config, "moe_layer_end_index", last_layer, true));
  const std::int64_t interval = TRY(config.integer_or("moe_layer_interval", 1, 1, kMaxLayers));
  for (std::int64_t i = 0; i <= last_layer; ++i) {
    plan.layers[static_cast<std::size_t>(i)].moe = (i + 1) % interval == 0 && i >= first && i <= last;
  }
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture ernie4_5_moe_architecture;
const Architecture ernie4_5_moe_architecture{kErnie45MoeModelTypes, build_ernie4_5_moe,
                                             is_unused_ernie4_5_moe};

}  // namespace mlxd
