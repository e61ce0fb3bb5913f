#include "model/conversion_rules.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace mlxd {
namespace {

struct NamedRule {
  std::string_view model_type;
  /// Of names that end so, or, with a star in front, that hold the rest.
  std::string_view pattern;
  ConversionRule rule;
};

// By model type, in the order of their names.
constexpr std::array kRules = {
    NamedRule{"afmoe", "*router.gate", ConversionRule::kEightBits},
    NamedRule{"afmoe", "expert_bias", ConversionRule::kKeepType},
    NamedRule{"bailing_moe", "mlp.gate.gate_proj", ConversionRule::kEightBits},
    NamedRule{"bailing_moe", "expert_bias", ConversionRule::kKeepType},
    NamedRule{"deepseek", "mlp.gate", ConversionRule::kDense},
    NamedRule{"dots1", "mlp.gate", ConversionRule::kDense},
    NamedRule{"exaone_moe", "mlp.gate", ConversionRule::kDense},
    NamedRule{"exaone_moe", "e_score_correction_bias", ConversionRule::kKeepType},
    NamedRule{"gemma4_text", "router.proj", ConversionRule::kEightBits},
    NamedRule{"glm4_moe", "mlp.gate", ConversionRule::kDense},
    NamedRule{"glm4_moe", "e_score_correction_bias", ConversionRule::kKeepType},
    NamedRule{"gpt_oss", "router", ConversionRule::kEightBits},
    NamedRule{"granite", "self_attn.o_proj", ConversionRule::kEightBits},
    NamedRule{"granite", "mlp.down_proj", ConversionRule::kEightBits},
    NamedRule{"granite", "lm_head", ConversionRule::kEightBits},
    NamedRule{"granitemoe", "block_sparse_moe.router.layer", ConversionRule::kEightBits},
    NamedRule{"granitemoe", "self_attn.o_proj", ConversionRule::kEightBits},
    // The experts' in "switch_mlp" too, whether meant or not.
    NamedRule{"granitemoe", "mlp.down_proj", ConversionRule::kEightBits},
    NamedRule{"granitemoe", "lm_head", ConversionRule::kEightBits},
    NamedRule{"granitemoehybrid", "router.layer", ConversionRule::kEightBits},
    NamedRule{"lfm2_moe", "feed_forward.gate", ConversionRule::kEightBits},
    NamedRule{"lfm2_moe", "expert_bias", ConversionRule::kKeepType},
    NamedRule{"mellum", "mlp.gate", ConversionRule::kEightBits},
    NamedRule{"minimax", "block_sparse_moe.gate", ConversionRule::kEightBits},
    NamedRule{"minimax", "e_score_correction_bias", ConversionRule::kKeepType},
    NamedRule{"nemotron_h", "*A_log", ConversionRule::kKeepType},
    NamedRule{"nemotron_h", "mixer.gate", ConversionRule::kDense},
    NamedRule{"nemotron_h", "e_score_correction_bias", ConversionRule::kKeepType},
    NamedRule{"qwen3_5", "A_log", ConversionRule::kKeepType},
    NamedRule{"qwen3_5_text", "A_log", ConversionRule::kKeepType},
    NamedRule{"qwen3_5_moe", "mlp.gate", ConversionRule::kEightBits},
    NamedRule{"qwen3_5_moe_text", "mlp.gate", ConversionRule::kEightBits},
    NamedRule{"qwen3_5_moe", "shared_expert_gate", ConversionRule::kEightBits},
    NamedRule{"qwen3_5_moe_text", "shared_expert_gate", ConversionRule::kEightBits},
    NamedRule{"qwen3_5_moe", "A_log", ConversionRule::kKeepType},
    NamedRule{"qwen3_5_moe_text", "A_log", ConversionRule::kKeepType},
    NamedRule{"qwen3_moe", "mlp.gate", ConversionRule::kEightBits},
    NamedRule{"qwen3_next", "mlp.gate", ConversionRule::kEightBits},
    NamedRule{"qwen3_next", "shared_expert_gate", ConversionRule::kEightBits},
    NamedRule{"qwen3_vl_moe", "mlp.gate", ConversionRule::kEightBits},
    NamedRule{"solar_open", "mlp.gate", ConversionRule::kDense},
    NamedRule{"solar_open", "e_score_correction_bias", ConversionRule::kKeepType},
};

// Types that run, but whose conversions have not been compared with mlx-lm's: latent attention is taken apart
// there, others have modules or names of their own.
constexpr std::array kWithoutRules =
    std::to_array<std::string_view>({"deepseek_v2", "deepseek_v3", "falcon_h1", "glm4_moe_lite",
                                     "joyai_llm_flash", "kimi_k2", "kimi_k25", "kimi_vl", "mistral4"});

bool matches(std::string_view name, std::string_view pattern) {
  if (pattern.starts_with('*')) return name.find(pattern.substr(1)) != std::string_view::npos;
  return name.ends_with(pattern);
}

constexpr std::array kRecipes = {MixedRecipe{"mixed_2_6", 2, 6}, MixedRecipe{"mixed_3_4", 3, 4},
                                 MixedRecipe{"mixed_3_6", 3, 6}, MixedRecipe{"mixed_4_6", 4, 6}};

std::int32_t layer_of(std::string_view path, std::int32_t layer_part) {
  for (std::int32_t part = 0; part < layer_part; ++part) {
    const std::size_t dot = path.find('.');
    if (dot == std::string_view::npos) return 0;
    path.remove_prefix(dot + 1);
  }
  path = path.substr(0, path.find('.'));
  std::int32_t layer = 0;
  const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), layer);
  return error == std::errc() && end == path.data() + path.size() && layer >= 0 ? layer : 0;
}

std::optional<DType> dtype_named(const boost::json::object& config, std::string_view field) {
  const boost::json::value* value = config.if_contains(field);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  if (value->get_string() == "float16") return DType::kF16;
  if (value->get_string() == "bfloat16") return DType::kBF16;
  if (value->get_string() == "float32") return DType::kF32;
  return std::nullopt;
}

bool holds(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

bool has_conversion_rules(std::string_view model_type) {
  return std::find(kWithoutRules.begin(), kWithoutRules.end(), model_type) == kWithoutRules.end();
}

ConversionRule conversion_rule(std::string_view model_type, std::string_view name) {
  for (const NamedRule& rule : kRules) {
    if (rule.model_type == model_type && matches(name, rule.pattern)) return rule.rule;
  }
  return ConversionRule::kAsAsked;
}

std::optional<DType> configured_dtype(const boost::json::object& config) {
  if (config.contains("torch_dtype")) return dtype_named(config, "torch_dtype");
  const boost::json::value* nested = config.if_contains("text_config");
  if (nested == nullptr || !nested->is_object()) return std::nullopt;
  return dtype_named(nested->get_object(), "dtype");
}

StackedExperts stacked_experts(std::string_view model_type) {
  if (model_type == "afmoe" || model_type == "dots1" || model_type == "gpt_oss") return {.name = "experts"};
  if (model_type == "gemma4_text") return {.name = "experts.switch_glu"};
  if (model_type == "nemotron_h") return {.up_proj = "fc1", .down_proj = "fc2"};
  return {};
}

std::string mlx_module_name(std::string_view model_type, const std::string& name) {
  // Of its dense layers; the experts' are told by stacked_experts.
  constexpr std::array<std::array<std::string_view, 2>, 3> kLfm2Moe = {
      {{"feed_forward.w1", "gate_proj"}, {"feed_forward.w3", "up_proj"}, {"feed_forward.w2", "down_proj"}}};
  if (model_type != "lfm2_moe") return name;
  for (const auto& [ending, part] : kLfm2Moe) {
    if (name.ends_with(ending)) return name.substr(0, name.rfind('.') + 1) + std::string(part);
  }
  return name;
}

bool stores_whole_norms(std::string_view model_type) {
  return model_type.starts_with("qwen3_next") || model_type.starts_with("qwen3_5");
}

std::optional<MixedRecipe> find_mixed_recipe(std::string_view name) {
  const auto found = std::find_if(kRecipes.begin(), kRecipes.end(),
                                  [&](const MixedRecipe& recipe) { return recipe.name == name; });
  return found == kRecipes.end() ? std::nullopt : std::optional(*found);
}

std::int32_t mixed_bits(const MixedRecipe& recipe, std::string_view path, std::int32_t layer_part,
                        std::int32_t num_layers) {
  const std::int32_t layer = layer_of(path, layer_part);
  const std::int32_t eighth = num_layers / 8;
  // The first and last eighth of the layers and every third between them.
  const bool more = layer < eighth || layer >= 7 * num_layers / 8 || (layer - eighth) % 3 == 2;
  const bool is_value = holds(path, "v_proj") || holds(path, "v_a_proj") || holds(path, "v_b_proj");
  if (more && (is_value || holds(path, "down_proj"))) return recipe.high_bits;
  return holds(path, "lm_head") ? recipe.high_bits : recipe.low_bits;
}

}  // namespace mlxd
