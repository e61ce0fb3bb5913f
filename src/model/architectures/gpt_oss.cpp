// gpt-oss: sinks in the attention, a window in every other layer, biases everywhere, and experts with a
// clamped SwiGLU.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kGptOssModelTypes = {"gpt_oss"};

Result<ModelSpec> build_gpt_oss(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  plan.set_attention_bias(true);
  plan.sinks = true;
  plan.tied = false;
  MoePlan moe;
  TRY(moe.read_sizes(config, "num_local_experts", "num_experts_per_tok", "intermediate_size"));
  moe.router.scoring = RouterScoring::kSoftmaxOfChosen;
  moe.router_name = "mlp.router";
  moe.router_bias = true;
  moe.experts = "mlp.experts";
  moe.expert_bias = true;
  moe.activation = Activation::kClampedSwiGlu;
  // As transformers has it; what is not mxfp4 has inputs before outputs.
  moe.fused_interleaved = true;
  moe.fused_transposed = input.weights.find("model.layers.0.mlp.experts.gate_up_proj.scales") == nullptr;
  plan.use_experts(std::move(moe));
  TRY(plan.add_rope(config, {.default_theta = 150000.0}));
  TRY(plan.read_windows(config, [](std::size_t i) { return i % 2 == 0; }));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture gpt_oss_architecture;
const Architecture gpt_oss_architecture{kGptOssModelTypes, build_gpt_oss, is_unused_in_decoder};

}  // namespace mlxd
