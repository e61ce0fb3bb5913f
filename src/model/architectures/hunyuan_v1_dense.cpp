// Hunyuan (dense): llama with norms over each query and key after it has rotated.
#include <array>
#include <cmath>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kHunyuanV1DenseModelTypes = {"hunyuan_v1_dense"};

Result<ModelSpec> build_hunyuan_v1_dense(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.mlp_bias = false;
  if (TRY(config.boolean_or("use_qk_norm", true))) plan.head_norms = HeadNorms::kEachHead;
  plan.norm_after_rope = true;
  plan.names.q_norm = "self_attn.query_layernorm";
  plan.names.k_norm = "self_attn.key_layernorm";
  // The configuration's scaling raises the base by a factor alpha, and does nothing else.
  const auto scaling = TRY(config.object("rope_scaling"));
  const double alpha = scaling ? TRY(scaling->number_or("alpha", 1.0, 1e-3, 1e9)) : 1.0;
  const auto dims = static_cast<double>(plan.layers.front().head_dim);
  const double theta = TRY(config.number_or("rope_theta", 10000.0, 1e-3, 1e12));
  TRY(plan.add_rope(config, {.theta = theta * std::pow(alpha, dims / (dims - 2.0)), .scaled = false}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture hunyuan_v1_dense_architecture;
const Architecture hunyuan_v1_dense_architecture{kHunyuanV1DenseModelTypes, build_hunyuan_v1_dense,
                                                 is_unused_in_decoder};

}  // namespace mlxd
