// nanochat: norms without weights, one after the embedding too, over each query and key after it has rotated
// (backwards), and a squared ReLU MLP.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kNanochatModelTypes = {"nanochat"};

Result<ModelSpec> build_nanochat(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.eps = ""}));
  plan.eps = 1e-5;
  plan.norm_weight = false;
  plan.embedding_norm = true;
  plan.head_norms = HeadNorms::kEachHead;
  plan.norm_after_rope = true;
  plan.gated = false;
  plan.activation = Activation::kRelu2;
  plan.logits_softcap = 15.0;
  plan.tied = false;
  plan.names = {.embedding = "transformer.wte",
                .layers = "transformer.h.",
                .final_norm = "transformer.norm",
                .q_proj = "attn.c_q",
                .k_proj = "attn.c_k",
                .v_proj = "attn.c_v",
                .o_proj = "attn.c_proj",
                .up_proj = "mlp.c_fc",
                .down_proj = "mlp.c_proj"};
  TRY(plan.add_rope(config, {}));
  for (float& frequency : plan.ropes.front().inverse_frequencies) frequency = -frequency;
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture nanochat_architecture;
const Architecture nanochat_architecture{kNanochatModelTypes, build_nanochat, is_unused_in_decoder};

}  // namespace mlxd
