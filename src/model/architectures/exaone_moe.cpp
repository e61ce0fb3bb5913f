// K-EXAONE: exaone4's attention before which norms stand; only layers with a window rotate, if any has one;
// in some layers experts, chosen by corrected sigmoids within groups, and shared ones.
#include <algorithm>
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kExaoneMoeModelTypes = {"exaone_moe"};

Result<ModelSpec> build_exaone_moe(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(false);
  plan.mlp_bias = false;
  plan.head_norms = HeadNorms::kEachHead;
  TRY(plan.add_rope(config, {.default_theta = 1e6}));
  TRY(plan.read_windows(config, [](std::size_t) { return false; }));
  const bool windows = std::any_of(plan.layers.begin(), plan.layers.end(),
                                   [](const LayerPlan& layer) { return layer.slides; });
  for (LayerPlan& layer : plan.layers) {
    if (windows && !layer.slides) layer.rope.reset();
  }
  MoePlan moe = TRY(MoePlan::read_deepseek(config, "num_experts", "num_shared_experts"));
  if (!config.has("routed_scaling_factor")) moe.router.scale = 2.5F;
  plan.use_experts(std::move(moe));
  const auto* is_moe = config.find("is_moe_layer");
  if (is_moe == nullptr || !is_moe->is_array() || is_moe->get_array().size() != plan.layers.size())
    return config.refuse("is_moe_layer", "a list with one entry a layer");
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    const auto& entry = is_moe->get_array()[i];
    if (!entry.is_bool()) return config.refuse("is_moe_layer", "a list of true and false");
    plan.layers[i].moe = entry.get_bool();
  }
  return build_decoder(input, plan);
}

/// Multi-token prediction.
bool is_unused_exaone_moe(const ModelSpec& spec, std::string_view tensor_name) {
  return tensor_name.starts_with("mtp.") || is_unused_in_decoder(spec, tensor_name);
}

}  // namespace

extern const Architecture exaone_moe_architecture;
const Architecture exaone_moe_architecture{kExaoneMoeModelTypes, build_exaone_moe, is_unused_exaone_moe};

}  // namespace mlxd
