#include "model/testing/synthetic_adapter.h"

#include <cmath>
#include <string_view>
#include <utility>

namespace mlxd::testing {
namespace {

namespace json = boost::json;

struct Sizes {
  std::int64_t in = 0;
  std::int64_t out = 0;
};

Sizes sizes_of(const SyntheticModelOptions& model, std::string_view key) {
  const std::int64_t queries = std::int64_t{model.num_heads} * model.head_dim;
  const std::int64_t keys = std::int64_t{model.num_kv_heads} * model.head_dim;
  if (key.ends_with("q_proj")) return {model.hidden_size, queries};
  if (key.ends_with("k_proj") || key.ends_with("v_proj")) return {model.hidden_size, keys};
  if (key.ends_with("o_proj")) return {queries, model.hidden_size};
  if (key.ends_with("down_proj")) return {model.intermediate_size, model.hidden_size};
  return {model.hidden_size, model.intermediate_size};
}

}  // namespace

json::object synthetic_adapter_config(const SyntheticAdapterOptions& options) {
  json::array keys;
  for (const std::string& key : options.keys) keys.emplace_back(key);
  return {
      {"fine_tune_type", options.method},
      {"num_layers", -1},
      {"lora_parameters",
       json::object{
           {"rank", options.rank}, {"scale", options.scale}, {"dropout", 0.0}, {"keys", std::move(keys)}}}};
}

std::vector<TensorRule> synthetic_adapter_rules(const SyntheticModelOptions& model,
                                                const SyntheticAdapterOptions& options) {
  std::vector<TensorRule> rules;
  for (std::int32_t layer = 0; layer < model.num_layers; ++layer) {
    for (const std::string& key : options.keys) {
      const std::string name = "model.layers." + std::to_string(layer) + "." + key;
      const Sizes sizes = sizes_of(model, key);
      const double limit = 1.7 / std::sqrt(static_cast<double>(sizes.in));
      rules.push_back({name + ".lora_a", options.dtype, {sizes.in, options.rank}, -limit, limit});
      rules.push_back({name + ".lora_b", options.dtype, {options.rank, sizes.out}, -0.5, 0.5});
      if (options.method == "dora") rules.push_back({name + ".m", options.dtype, {sizes.out}, 0.5, 1.5});
    }
  }
  return rules;
}

Result<void> write_synthetic_adapter(const std::filesystem::path& folder, const SyntheticModelOptions& model,
                                     const SyntheticAdapterOptions& options) {
  return write_rule_adapter(folder, synthetic_adapter_config(options),
                            synthetic_adapter_rules(model, options));
}

}  // namespace mlxd::testing
