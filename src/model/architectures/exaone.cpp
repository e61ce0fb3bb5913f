// EXAONE 3: llama under other names.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kExaoneModelTypes = {"exaone"};

Result<ModelSpec> build_exaone(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.layers = "num_layers", .eps = "layer_norm_epsilon"}));
  plan.names = {.embedding = "transformer.wte",
                .layers = "transformer.h.",
                .final_norm = "transformer.ln_f",
                .attention_norm = "ln_1",
                .mlp_norm = "ln_2",
                .q_proj = "attn.attention.q_proj",
                .k_proj = "attn.attention.k_proj",
                .v_proj = "attn.attention.v_proj",
                .o_proj = "attn.attention.out_proj",
                .gate_proj = "mlp.c_fc_0",
                .up_proj = "mlp.c_fc_1",
                .down_proj = "mlp.c_proj"};
  TRY(plan.add_rope(config, {.traditional = TRY(config.boolean_or("rope_traditional", false))}));
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture exaone_architecture;
const Architecture exaone_architecture{kExaoneModelTypes, build_exaone, is_unused_in_decoder};

}  // namespace mlxd
