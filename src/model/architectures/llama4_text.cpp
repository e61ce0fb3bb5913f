// Llama 4 (dense text models): llama with norms without weights over each query and key; neighbouring pairs
// rotate, in some layers none.
#include <array>

#include "model/decoder_plan.h"

namespace mlxd {
namespace {

constexpr std::array<std::string_view, 1> kLlama4TextModelTypes = {"llama4_text"};

Result<ModelSpec> build_llama4_text(const ArchitectureInput& input) {
  const ConfigReader& config = input.config;
  DecoderPlan plan = TRY(DecoderPlan::read(config, {.intermediate = "intermediate_size_mlp"}));
  plan.set_attention_bias(false);
  plan.names.lm_head = "output";
  plan.names.gate_proj = "feed_forward.gate_proj";
  plan.names.up_proj = "feed_forward.up_proj";
  plan.names.down_proj = "feed_forward.down_proj";
  if (TRY(config.boolean_or("use_qk_norm", false))) plan.head_norms = HeadNorms::kEachHead;
  plan.head_norm_weight = false;
  TRY(plan.add_rope(config, {.traditional = true}));
  const auto* rotates = config.find("no_rope_layers");
  if (rotates == nullptr || !rotates->is_array() || rotates->get_array().size() != plan.layers.size())
    return config.refuse("no_rope_layers", "a list with one entry a layer");
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    // Whatever the name says: 1 means that the layer rotates.
    const auto& entry = rotates->get_array()[i];
    if (!entry.is_int64()) return config.refuse("no_rope_layers", "a list of 0 and 1");
    if (entry.get_int64() == 0) plan.layers[i].rope.reset();
  }
  return build_decoder(input, plan);
}

}  // namespace

extern const Architecture llama4_text_architecture;
const Architecture llama4_text_architecture{kLlama4TextModelTypes, build_llama4_text, is_unused_in_decoder};

}  // namespace mlxd
