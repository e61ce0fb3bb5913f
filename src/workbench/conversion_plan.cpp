#include "workbench/conversion_plan.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "model/conversion_rules.h"
#include "model/quantize.h"
#include "model/spec_modules.h"
#include "model/weight_rows.h"

namespace mlxd {
namespace {

namespace json = boost::json;

json::string_view text_of(std::string_view text) { return {text.data(), text.size()}; }

/// Tells the parts of one stored tensor from each other.
std::string key_of(const LinearSpec& linear) {
  return linear.rows.total == 0 ? linear.name : linear.name + " from " + std::to_string(linear.rows.first);
}

/// Experts by key_of: the module that they are stacked into. Empty for those that are stacked already.
std::map<std::string, std::string> stacked_names(const ModelSpec& spec) {
  std::map<std::string, std::string> names;
  for (const LayerSpec& layer : spec.layers) {
    if (!layer.moe) continue;
    for (std::size_t i = 0; i < layer.moe->experts.size(); ++i) {
      const MlpSpec& expert = layer.moe->experts[i];
      // "….experts.3.w1" → "….switch_mlp.gate_proj", and so with "….experts.gate_up_proj" of which it is a
      // part, and the down_proj beside it.
      const std::string number = "experts." + std::to_string(i) + ".";
      const bool is_fused = expert.gate_proj && expert.gate_proj->rows.total != 0 &&
                            expert.gate_proj->name == expert.up_proj.name;
      const StackedExperts stacked = stacked_experts(spec.model_type);
      const std::string stack(stacked.name);
      const auto add = [&](const LinearSpec& linear, std::string_view part) {
        if (is_fused) {
          std::string holder = linear.name.substr(0, linear.name.rfind('.'));
          if (holder.ends_with(".experts") || holder.ends_with(".switch_mlp"))
            holder.resize(holder.rfind('.'));
          names[key_of(linear)] = holder + "." + stack + "." + std::string(part);
          return;
        }
        const std::size_t at = linear.name.rfind(number);
        if (at == std::string::npos || linear.rows.total != 0) return;
        names[linear.name] = linear.name.substr(0, at) + stack + "." + std::string(part);
      };
      if (expert.gate_proj) add(*expert.gate_proj, "gate_proj");
      add(expert.up_proj, stacked.up_proj);
      add(expert.down_proj, stacked.down_proj);
    }
  }
  return names;
}

class Planner {
 public:
  Planner(const ModelFolder& source, const json::object& config, const ConvertOptions& options)
      : source_(source),
        weights_(source.weights()),
        config_(config),
        options_(options),
        configured_dtype_(options.dtype ? options.dtype : configured_dtype(config)),
        stacked_(stacked_names(source.spec())) {}

  Result<ConversionPlan> make() {
    collect();
    if (!fused_bias_.empty()) {
      return unsupported(source_.path().string() + ": tensor " + fused_bias_ +
                         " holds the biases of two layers of each expert, which cannot be converted; take a "
                         "conversion of the model to MLX's layout");
    }
    if (!options_.recipe.empty()) TRY(read_recipe());
    for (ConvertedModule& module : plan_.modules) {
      module.form = TRY(choose_form(module));
      module.kept = is_kept(module);
      if (module.kept && module.form.mode == QuantizationMode::kAffine)
        module.dtype = own_dtype(module.parts.front());
    }
    const bool any = std::any_of(
        plan_.modules.begin(), plan_.modules.end(),
        [](const ConvertedModule& module) { return module.form.mode != QuantizationMode::kNone; });
    if (options_.form.mode != QuantizationMode::kNone && !any) {
      return unsupported(source_.path().string() + ": no layer has inputs that divide into groups of " +
                         std::to_string(options_.form.group_size) + "; use a smaller --group");
    }
    plan_.config = make_config();
    return std::move(plan_);
  }

 private:
  void collect() {
    visit_modules(
        source_.spec(),
        [&](const LinearSpec& linear) {
          const auto stacked = stacked_.find(key_of(linear));
          if (stacked == stacked_.end()) {
            if (seen_.insert(linear.name + ".weight").second) add_whole(linear);
            if (linear.has_bias) add_tensor(linear.name + ".bias", linear.name + ".bias");
            return;
          }
          if (seen_.insert(stacked->first + ".weight").second) add_expert(linear, stacked->second);
          if (!linear.has_bias) return;
          if (linear.rows.total != 0) fused_bias_ = linear.name + ".bias";
          add_tensor(stacked->second + ".bias", linear.name + ".bias");
        },
        [&](const NormSpec& norm) {
          if (norm.has_weight) {
            add_tensor(norm.name + ".weight", norm.name + ".weight",
                       stores_whole_norms(source_.spec().model_type) ? norm.weight_offset : 0.0F);
          }
          if (norm.has_bias) add_tensor(norm.name + ".bias", norm.name + ".bias");
        },
        [&](const std::string& name, std::int32_t) { add_tensor(name, name); });
  }

  void add_tensor(const std::string& name, const std::string& source_name, float added = 0.0F) {
    if (!seen_.insert(source_name).second) return;
    const TensorView& tensor = *weights_.find(source_name);
    const auto [at, is_new] = tensor_at_.emplace(name, plan_.tensors.size());
    if (!is_new) {
      plan_.tensors[at->second].parts.push_back(source_name);
      plan_.tensors[at->second].shape.front() += 1;
      return;
    }
    ConvertedTensor made;
    made.name = name;
    made.parts = {source_name};
    made.shape = tensor.shape;
    made.added = added;
    // Convolutions over each channel for itself: PyTorch's [channels, 1, taps] is MLX's [channels, taps, 1].
    if (made.shape.size() == 3 && made.shape[1] == 1 && name.find("conv") != std::string::npos)
      std::swap(made.shape[1], made.shape[2]);
    if (name != source_name) made.shape.insert(made.shape.begin(), 1);
    const bool keeps = conversion_rule(source_.spec().model_type, name) == ConversionRule::kKeepType;
    made.dtype = keeps ? tensor.dtype : configured_dtype_.value_or(tensor.dtype);
    plan_.tensors.push_back(std::move(made));
  }

  /// What is stored as one module, with all its rows.
  void add_whole(const LinearSpec& linear) {
    LinearSpec whole = linear;
    whole.out_features = static_cast<std::int32_t>(linear.stored_rows());
    whole.rows = {};
    ConvertedModule module;
    module.name = mlx_module_name(source_.spec().model_type, linear.name);
    module.shape = {whole.out_features, linear.in_features};
    if (linear.storage == WeightStorage::kMlx) {
      module.shape = weights_.find(linear.name + ".weight")->shape;
      module.shape.back() = linear.in_features;
    }
    module.dtype = configured_dtype_.value_or(own_dtype(whole));
    module.parts.push_back(std::move(whole));
    plan_.modules.push_back(std::move(module));
  }

  /// One of several that become the module `name`.
  void add_expert(const LinearSpec& linear, const std::string& name) {
    const auto [at, is_new] = module_at_.emplace(name, plan_.modules.size());
    if (!is_new) {
      ConvertedModule& module = plan_.modules[at->second];
      module.parts.push_back(linear);
      module.shape.front() += 1;
      return;
    }
    ConvertedModule module;
    module.name = name;
    module.shape = {1, linear.out_features, linear.in_features};
    module.dtype = configured_dtype_.value_or(own_dtype(linear));
    module.parts.push_back(linear);
    plan_.modules.push_back(std::move(module));
  }

  /// Of its floats. Opening the folder has checked its tensors.
  DType own_dtype(const LinearSpec& linear) const {
    const Result<WeightRowReader> reader = WeightRowReader::open(linear, weights_);
    return reader.ok() ? reader->float_type() : DType::kF32;
  }

  Result<void> read_recipe() {
    recipe_ = find_mixed_recipe(options_.recipe);
    if (!recipe_) {
      return invalid_argument(
          "the recipe is '" + options_.recipe + "', must be mixed_2_6, mixed_3_4, mixed_3_6 or mixed_4_6",
          "mixed");
    }
    const auto down = std::find_if(
        plan_.modules.begin(), plan_.modules.end(),
        [](const ConvertedModule& module) { return module.name.find("down_proj") != std::string::npos; });
    if (down == plan_.modules.end()) {
      return unsupported(source_.path().string() + ": " + source_.spec().model_type +
                         " models have no down_proj, by which " + options_.recipe +
                         " tells layers; give --bits instead");
    }
    // The first part of its name that is a number is the layer's.
    layer_part_ = 0;
    std::string_view rest = down->name;
    while (!rest.empty() && std::isdigit(static_cast<unsigned char>(rest.front())) == 0) {
      const std::size_t dot = rest.find('.');
      rest.remove_prefix(dot == std::string_view::npos ? rest.size() : dot + 1);
      ++layer_part_;
    }
    return {};
  }

  Result<Quantization> choose_form(const ConvertedModule& module) const {
    const Quantization& form = options_.form;
    // Small floats are computed in whole groups of 32, also those with scales for 16.
    if (form.mode == QuantizationMode::kNone || module.columns() % std::max(32, form.group_size) != 0)
      return Quantization{};
    const ConversionRule rule = conversion_rule(source_.spec().model_type, module.name);
    if (rule == ConversionRule::kDense) return Quantization{};
    if (recipe_) {
      const auto layers = static_cast<std::int32_t>(source_.spec().layers.size());
      return Quantization{QuantizationMode::kAffine, mixed_bits(*recipe_, module.name, layer_part_, layers),
                          form.group_size};
    }
    if (rule != ConversionRule::kEightBits) return form;
    const Quantization eight{QuantizationMode::kAffine, 8, 64};
    if (module.columns() % eight.group_size != 0) {
      return unsupported(source_.path().string() + ": " + module.name +
                         " gets 8 bits in groups of 64, as in mlx-lm, but has " +
                         std::to_string(module.columns()) + " inputs; use --group 64 or 128");
    }
    return eight;
  }

  /// Whether its tensors can be copied as they are.
  bool is_kept(const ConvertedModule& module) const {
    return module.form.mode != QuantizationMode::kNone &&
           std::all_of(module.parts.begin(), module.parts.end(), [&](const LinearSpec& part) {
             if (part.quantization != module.form) return false;
             if (module.form.mode != QuantizationMode::kAffine) return true;
             // All of one type: that asked for, or where nothing is asked that of the first.
             return own_dtype(part) == options_.dtype.value_or(own_dtype(module.parts.front()));
           });
  }

  json::object make_config() const {
    json::object config;
    // Sorted, as mlx-lm writes it.
    std::vector<std::string> keys;
    for (const auto& entry : config_) keys.emplace_back(entry.key());
    std::sort(keys.begin(), keys.end());
    for (const std::string& key : keys) {
      if (key == "quantization" || key == "quantization_config" || key == "_name_or_path") continue;
      // What is left of a model that also sees is its text.
      if (key == "vision_config") continue;
      config[key] = config_.at(key);
    }
    if (json::value* nested = config.if_contains("text_config"); nested != nullptr && nested->is_object()) {
      nested->get_object().erase("quantization");
      nested->get_object().erase("quantization_config");
      if (options_.dtype) set_dtype(nested->get_object(), false);
    }
    if (options_.dtype) set_dtype(config, true);
    if (options_.form.mode == QuantizationMode::kNone) return config;
    const json::object quantization = make_quantization();
    config["quantization"] = quantization;
    config["quantization_config"] = quantization;
    return config;
  }

  void set_dtype(json::object& config, bool always) const {
    for (const char* key : {"torch_dtype", "dtype"}) {
      const bool wanted = config.contains(key) || (always && std::string_view(key) == "torch_dtype");
      if (wanted) config[key] = text_of(torch_name(*options_.dtype));
    }
  }

  json::object make_quantization() const {
    const auto entry = [](const Quantization& form, bool with_mode) {
      json::object object{{"group_size", form.group_size}, {"bits", form.bits}};
      if (with_mode) object["mode"] = text_of(to_string(form.mode));
      return object;
    };
    Quantization usual = options_.form;
    if (recipe_) usual.bits = recipe_->low_bits;
    json::object quantization = entry(usual, true);
    for (const ConvertedModule& module : plan_.modules) {
      if (module.form.mode == QuantizationMode::kNone) continue;
      if (recipe_) {
        quantization[module.name] = entry(module.form, true);
      } else if (conversion_rule(source_.spec().model_type, module.name) == ConversionRule::kEightBits) {
        quantization[module.name] = entry(module.form, false);
      }
    }
    return quantization;
  }

  const ModelFolder& source_;
  const WeightMap& weights_;
  const json::object& config_;
  const ConvertOptions& options_;
  const std::optional<DType> configured_dtype_;
  const std::map<std::string, std::string> stacked_;
  std::optional<MixedRecipe> recipe_;
  std::int32_t layer_part_ = 0;
  std::string fused_bias_;      // of experts; empty: none
  std::set<std::string> seen_;  // tensors of the source
  std::map<std::string, std::size_t> module_at_;
  std::map<std::string, std::size_t> tensor_at_;
  ConversionPlan plan_;
};

}  // namespace

std::string_view torch_name(DType dtype) {
  return dtype == DType::kF16 ? "float16" : dtype == DType::kBF16 ? "bfloat16" : "float32";
}

std::vector<TensorLayout> ConvertedModule::layouts() const {
  if (form.mode == QuantizationMode::kNone) return {{name + ".weight", dtype, shape}};
  std::vector<std::int64_t> words = shape;
  words.back() = columns() * form.bits / 32;
  std::vector<std::int64_t> groups = shape;
  groups.back() = columns() / form.group_size;
  const bool is_affine = form.mode == QuantizationMode::kAffine;
  std::vector<TensorLayout> all = {{name + ".weight", DType::kU32, std::move(words)},
                                   {name + ".scales", is_affine ? dtype : DType::kU8, groups}};
  if (is_affine) all.push_back({name + ".biases", dtype, std::move(groups)});
  return all;
}

std::vector<TensorLayout> ConversionPlan::layouts() const {
  std::vector<TensorLayout> all;
  for (const ConvertedModule& module : modules) {
    for (TensorLayout& layout : module.layouts()) all.push_back(std::move(layout));
  }
  for (const ConvertedTensor& tensor : tensors) all.push_back({tensor.name, tensor.dtype, tensor.shape});
  return all;
}

Result<ConversionPlan> plan_conversion(const ModelFolder& source, const json::object& config,
                                       const ConvertOptions& options) {
  const json::value* outer = config.if_contains("model_type");
  for (const std::string_view type :
       {std::string_view(source.spec().model_type), outer != nullptr && outer->is_string()
                                                        ? std::string_view(outer->get_string())
                                                        : std::string_view()}) {
    if (!has_conversion_rules(type)) {
      return unsupported(source.path().string() + ": models of type " + std::string(type) +
                         " run, but are not converted yet: convert it with mlx_lm.convert instead");
    }
  }
  if (options.form.mode != QuantizationMode::kNone && !is_known_form(options.form)) {
    return invalid_argument(std::string(to_string(options.form.mode)) + " with " +
                                std::to_string(options.form.bits) + " bits in groups of " +
                                std::to_string(options.form.group_size) +
                                ": affine has 2, 3, 4, 5, 6 or 8 bits in groups of 32, 64 or 128, mxfp4 4 in "
                                "32, mxfp8 8 in 32, nvfp4 4 in 16",
                            "bits");
  }
  if (!options.recipe.empty() && options.form.mode != QuantizationMode::kAffine)
    return invalid_argument("recipes of mixed bits are affine", "mixed");
  if (options.dtype && !is_float(*options.dtype)) {
    return invalid_argument(
        "the type is " + std::string(to_string(*options.dtype)) + ", must be float16, bfloat16 or float32",
        "dtype");
  }
  return Planner(source, config, options).make();
}

}  // namespace mlxd
