// dots.llm1: qwen3-like attention; after some dense layers experts, chosen by corrected sigmoids within
// groups, and shared ones.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kDots1ModelTypes = {"dots1"};

Result<ModelSpec> build_dots1(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(false);
  plan.head_norms = HeadNorms::kEachHead;
  MoePlan experts = TRY(MoePlan::read_deepseek(config));
  experts.experts = "mlp.experts";
  TRY(plan.use_experts(config, std::move(experts), "first_k_dense_replace"));
  TRY(plan.add_rope(config, {}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture dots1_architecture;
const Architecture dots1_architecture{kDots1ModelTypes, build_dots1, is_unused_in_decoder};

}  // namespace mlxd
