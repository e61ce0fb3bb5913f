#include "model/model_folder.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "model/architectures/architecture.h"
#include "model/checkpoint_names.h"
#include "model/config_reader.h"
#include "model/json.h"
#include "model/quantization.h"
#include "model/spec_modules.h"
#include "model/weight_rows.h"

namespace mlxd {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxConfigBytes = 16U << 20U;
constexpr std::size_t kMaxEosTokens = 1'024;

// A number, a list of numbers, or absent (empty result).
Result<std::vector<std::int32_t>> read_eos(const ConfigReader& config, std::int32_t vocab_size) {
  const json::value* value = config.find("eos_token_id");
  std::vector<std::int32_t> tokens;
  if (value == nullptr) return tokens;
  const json::array single{*value};
  const json::array& list = value->is_array() ? value->get_array() : single;
  if (list.size() > kMaxEosTokens) return config.refuse("eos_token_id", "at most 1024 token ids");
  for (const json::value& element : list) {
    json::error_code error;
    const auto id = element.to_number<std::int64_t>(error);
    if (error || id < 0 || id >= vocab_size) {
      return config.refuse("eos_token_id", "a token id, or a list of them, from 0 to vocab_size - 1 = " +
                                               std::to_string(vocab_size - 1));
    }
    tokens.push_back(static_cast<std::int32_t>(id));
  }
  return tokens;
}

std::set<std::string, std::less<>> tensors_used(const ModelSpec& spec) {
  std::set<std::string, std::less<>> names;
  visit_modules(
      spec,
      [&](const LinearSpec& linear) {
        for (std::string& name : weight_tensor_names(linear)) names.insert(std::move(name));
        if (linear.has_bias) names.insert(linear.name + ".bias");
      },
      [&](const NormSpec& norm) {
        if (norm.has_weight) names.insert(norm.name + ".weight");
        if (norm.has_bias) names.insert(norm.name + ".bias");
      },
      [&](const std::string& name, std::int32_t) { names.insert(name); });
  return names;
}

std::int64_t count_parameters(const ModelSpec& spec) {
  std::int64_t count = 0;
  std::set<std::pair<std::string_view, std::int64_t>> counted;  // keys that are values, too, count once
  visit_modules(
      spec,
      [&](const LinearSpec& linear) {
        if (!counted.emplace(linear.name, linear.rows.first).second) return;
        count += std::int64_t{linear.in_features} * linear.out_features;
        if (linear.has_bias) count += linear.out_features;
      },
      [&](const NormSpec& norm) {
        count += (norm.has_weight ? norm.size : 0) + (norm.has_bias ? norm.size : 0);
      },
      [&](const std::string&, std::int32_t size) { count += size; });
  return count;
}

/// Scales of activations and of K/V, which nothing here quantizes by them.
bool is_of_activations(std::string_view name) {
  for (const std::string_view part : {".input_scale", "activation_scale", ".k_scale", ".v_scale"}) {
    if (name.ends_with(part)) return true;
  }
  return false;
}

// A tensor that the spec does not name would be ignored silently, and the answers would be wrong.
Result<void> check_all_used(const ModelSpec& spec, const WeightMap& weights,
                            const Architecture& architecture) {
  const auto used = tensors_used(spec);
  for (const auto& [name, tensor] : weights.tensors()) {
    if (used.contains(name) || is_of_activations(name) || architecture.is_unused(spec, name)) continue;
    return corrupt_data(weights.folder().string() + ": tensor " + tensor.name + " is not part of a " +
                        spec.model_type +
                        " model as config.json describes it; config.json and the weights disagree");
  }
  return {};
}

/// How many layers could not be quantized. Errors: kUnsupported if none was.
Result<std::int64_t> count_left_dense(const ModelSpec& spec, const Quantization& form,
                                      const std::filesystem::path& folder) {
  std::set<std::string, std::less<>> left;
  bool any = false;
  visit_modules(
      spec,
      [&](const LinearSpec& linear) {
        any = any || linear.quantize_from;
        if (!linear.quantize_from && linear.in_features % std::max(32, form.group_size) != 0)
          left.insert(linear.name);
      },
      [](const NormSpec&) {}, [](const std::string&, std::int32_t) {});
  if (any) return static_cast<std::int64_t>(left.size());
  return unsupported(folder.string() + ": no layer has inputs that divide into groups of " +
                     std::to_string(form.group_size) + "; use a smaller --quantize-group");
}

}  // namespace

Result<ModelFolder> ModelFolder::open(const std::filesystem::path& folder,
                                      const std::optional<Quantization>& at_load) {
  ModelFolder model;
  std::error_code error;
  // A trailing slash would hide the name.
  model.path_ = folder.has_filename() ? folder : folder.parent_path();
  if (!std::filesystem::is_directory(folder, error)) {
    return not_found(folder.string() + " is not a folder; give the folder of an MLX model");
  }
  const std::filesystem::path config_file = model.path_ / "config.json";
  const json::object config_object = TRY(read_json_object(config_file, kMaxConfigBytes));
  const ConfigReader config(config_object, config_file.string());
  const std::string model_type = TRY(config.string("model_type"));
  const Architecture* architecture = find_architecture(model_type);
  if (architecture == nullptr) {
    return config.refuse_unsupported("model_type", "supported are " + supported_model_types());
  }
  const QuantizationConfig quantization = TRY(QuantizationConfig::read(config, at_load));
  model.weights_ = TRY(WeightMap::open(model.path_));
  TRY(use_mlx_names(config, model.weights_));
  model.spec_ = TRY(architecture->build({config, quantization, model.weights_}));
  TRY(check_all_used(model.spec_, model.weights_, *architecture));
  model.num_parameters_ = count_parameters(model.spec_);
  if (at_load) model.num_left_dense_ = TRY(count_left_dense(model.spec_, *at_load, model.path_));

  model.eos_tokens_ = TRY(read_eos(config, model.spec_.vocab_size));
  const std::filesystem::path generation_file = model.path_ / "generation_config.json";
  if (std::filesystem::exists(generation_file, error)) {
    const json::object generation_object = TRY(read_json_object(generation_file, kMaxConfigBytes));
    const ConfigReader generation(generation_object, generation_file.string());
    if (generation.has("eos_token_id")) model.eos_tokens_ = TRY(read_eos(generation, model.spec_.vocab_size));
  }
  return model;
}

}  // namespace mlxd
