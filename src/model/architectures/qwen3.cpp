// Qwen3: llama with a norm over each query and key before it rotates. qwen3_vl holds it beside a vision
// tower.
#include <array>

#include "model/decoder_plan.h"
#include "model/nested_text_model.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 2> kQwen3ModelTypes = {"qwen3", "qwen3_vl"};

Result<ModelSpec> build_text_qwen3(const ArchitectureInput& input, std::string_view prefix,
                                   const ConfigReader& config) {
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  plan.names.add_prefix(prefix);
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.head_norms = HeadNorms::kEachHead;
  TRY(plan.add_rope(config, {.default_theta = 1e6}));
  // As in transformers; mlx-lm ignores the windows, which no published model uses.
  TRY(plan.read_late_windows(config));
  return build_decoder(input, plan);
}

Result<ModelSpec> build_qwen3(const ArchitectureInput& input) {
  return build_text_model(input, build_text_qwen3);
}

}  // namespace

extern const Architecture qwen3_architecture;
const Architecture qwen3_architecture{kQwen3ModelTypes, build_qwen3, is_unused_beside_vision};

}  // namespace mlxd
