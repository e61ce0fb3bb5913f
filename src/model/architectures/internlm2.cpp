// InternLM 2: llama under other names; each K/V head follows its queries in one tensor.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kInternlm2ModelTypes = {"internlm2"};

Result<ModelSpec> build_internlm2(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config));
  TRY(expect_activation(config, {"silu", "swish"}));
  plan.set_attention_bias(TRY(config.boolean_or("bias", true)));
  plan.mlp_bias = false;
  plan.qkv_layout = QkvLayout::kGrouped;
  plan.names = {.embedding = "model.tok_embeddings",
                .lm_head = "output",
                .attention_norm = "attention_norm",
                .mlp_norm = "ffn_norm",
                .o_proj = "attention.wo",
                .qkv_proj = "attention.wqkv",
                .gate_proj = "feed_forward.w1",
                .up_proj = "feed_forward.w3",
                .down_proj = "feed_forward.w2"};
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", false))}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture internlm2_architecture;
const Architecture internlm2_architecture{kInternlm2ModelTypes, build_internlm2, is_unused_in_decoder};

}  // namespace mlxd
