#include "workbench/gguf_architecture.h"

#include <algorithm>
#include <array>

namespace mlxd {
namespace {

constexpr std::array<GgufArchitecture, 5> kArchitectures = {{
    {.name = "llama", .model_type = "llama", .model_class = "LlamaForCausalLM", .interleaves_rotary = true},
    {.name = "qwen2", .model_type = "qwen2", .model_class = "Qwen2ForCausalLM"},
    {.name = "qwen3", .model_type = "qwen3", .model_class = "Qwen3ForCausalLM", .has_head_norms = true},
    {.name = "gemma3",
     .model_type = "gemma3_text",
     .model_class = "Gemma3ForCausalLM",
     .has_head_norms = true,
     .has_post_norms = true,
     .norms_hold_one_more = true},
    {.name = "phi3", .model_type = "phi3", .model_class = "Phi3ForCausalLM", .fuses = true},
}};

}  // namespace

const GgufArchitecture* find_gguf_architecture(std::string_view name) {
  const auto* found = std::find_if(kArchitectures.begin(), kArchitectures.end(),
                                   [&](const GgufArchitecture& known) { return known.name == name; });
  return found == kArchitectures.end() ? nullptr : found;
}

std::string_view gguf_architecture_names() { return "llama, qwen2, qwen3, gemma3 and phi3"; }

}  // namespace mlxd
