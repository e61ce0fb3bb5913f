// Trinity (AFMoE): gated attention with norms over each query and key, windows in most layers, of which only
// those rotate, norms on both sides; after some dense layers experts chosen by corrected sigmoids, and shared
// ones.
#include <array>
#include <cmath>
#include <string>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kAfmoeModelTypes = {"afmoe"};

Result<ModelSpec> build_afmoe(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(false);
  plan.head_norms = HeadNorms::kEachHead;
  plan.names.attention_gate = "self_attn.gate_proj";
  plan.names.attention_post_norm = "post_attention_layernorm";
  plan.names.mlp_norm = "pre_mlp_layernorm";
  plan.names.mlp_post_norm = "post_mlp_layernorm";
  if (TRY(config.boolean_or("mup_enabled", true)))
    plan.embedding_scale = std::sqrt(static_cast<double>(plan.hidden));
  TRY(plan.add_rope(config, {}));
  if (!config.has("layer_types")) return config.refuse("layer_types", "a list with one entry a layer");
  TRY(plan.read_windows(config, [](std::size_t) { return true; }));
  for (LayerPlan& layer : plan.layers) {
    if (!layer.slides) layer.rope.reset();
  }
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_experts", "num_experts_per_tok", "moe_intermediate_size"));
  TRY(moe.read_groups(config));
  const std::string scoring = TRY(config.string_or("score_func", "sigmoid"));
  moe.router.scoring = scoring == "sigmoid" ? RouterScoring::kSigmoid : RouterScoring::kSoftmax;
  moe.router.normalize = moe.router.experts_per_token > 1 && TRY(config.boolean_or("route_norm", true));
  moe.router.scale = static_cast<float>(TRY(config.number_or("route_scale", 2.826, 1e-6, 1e6)));
  moe.router_name = "mlp.router.gate";
  moe.correction_bias = "mlp.expert_bias";
  moe.experts = "mlp.experts";
  TRY(moe.read_shared(config, "num_shared_experts", 1));
  TRY(plan.use_experts(config, std::move(moe), "num_dense_layers", 2));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture afmoe_architecture;
const Architecture afmoe_architecture{kAfmoeModelTypes, build_afmoe, is_unused_in_decoder};

}  // namespace mlxd
