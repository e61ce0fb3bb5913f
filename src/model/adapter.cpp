#include "model/adapter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string_view>
#include <utility>

#include "base/mapped_file.h"
#include "model/config_reader.h"
#include "model/float_formats.h"
#include "model/json.h"
#include "model/safetensors.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMaxConfigBytes = 1U << 20U;
constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kTensorFile = "adapters.safetensors";

struct AdapterConfig {
  bool dora = false;
  std::int64_t num_layers = 0;  // the last so many; below 1: all
  std::int64_t rank = 0;
  float scale = 0.0F;
  bool has_keys = false;
  std::set<std::string, std::less<>> keys;  // names in a layer, or whole names
};

/// Of one module, as the file has it.
struct StoredModule {
  const TensorView* lora_a = nullptr;
  const TensorView* lora_b = nullptr;
  const TensorView* magnitude = nullptr;
  AdapterTarget target;
};

/// A folder that fits the model, its numbers not read yet.
struct CheckedFolder {
  AdapterConfig config;
  MappedFile file;
  std::vector<TensorView> tensors;
  std::map<std::string, StoredModule> modules;
};

Result<void> read_keys(const ConfigReader& parameters, AdapterConfig& config) {
  const json::value* keys = parameters.find("keys");
  if (keys == nullptr) return {};
  config.has_keys = true;
  if (!keys->is_array()) return parameters.refuse("keys", "a list of names");
  for (const json::value& key : keys->get_array()) {
    if (!key.is_string()) return parameters.refuse("keys", "a list of names");
    config.keys.emplace(key.get_string());
  }
  return {};
}

Result<AdapterConfig> read_config(const fs::path& path) {
  const json::object object = TRY(read_json_object(path, kMaxConfigBytes));
  const ConfigReader reader(object, path.string());
  if (reader.has("peft_type")) {
    return reader.refuse_unsupported(
        "peft_type", "it is an adapter of Hugging Face's PEFT: train or convert it with mlx-lm");
  }
  AdapterConfig config;
  const std::string method = TRY(reader.string_or("fine_tune_type", "lora"));
  if (method == "full") {
    return reader.refuse_unsupported(
        "fine_tune_type",
        "it replaces the model's weights and is no adapter: make a model folder of it with mlx_lm.fuse");
  }
  if (method != "lora" && method != "dora")
    return reader.refuse_unsupported("fine_tune_type", "lora and dora are");
  config.dora = method == "dora";
  constexpr std::int64_t kMany = 1 << 20;
  config.num_layers = TRY(reader.integer("num_layers", -kMany, kMany));
  const std::optional<ConfigReader> parameters = TRY(reader.object("lora_parameters"));
  if (!parameters) return corrupt_data(path.string() + ": lora_parameters is missing");
  config.rank = TRY(parameters->integer("rank", 1, kMaxAdapterRank));
  config.scale = static_cast<float>(TRY(parameters->number("scale", -1e6, 1e6)));
  TRY(read_keys(*parameters, config));
  return config;
}

bool covers(const AdapterConfig& config, std::size_t num_layers, const std::string& name,
            const AdapterTarget& target) {
  if (config.has_keys && config.keys.contains(name)) return true;
  if (!target.layer) return false;
  const auto count = static_cast<std::int64_t>(num_layers);
  const std::int64_t first = config.num_layers > 0 ? std::max<std::int64_t>(0, count - config.num_layers) : 0;
  if (static_cast<std::int64_t>(*target.layer) < first) return false;
  return !config.has_keys || config.keys.contains(target.local_name);
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

Result<void> check_shape(const fs::path& file, const TensorView& tensor,
                         const std::vector<std::int64_t>& expected) {
  if (tensor.dtype != DType::kF32 && tensor.dtype != DType::kF16 && tensor.dtype != DType::kBF16) {
    return corrupt_data(file.string() + ": tensor " + tensor.name + " is of type " +
                        std::string(to_string(tensor.dtype)) + "; expected F16, BF16 or F32");
  }
  if (tensor.shape == expected) return {};
  return corrupt_data(file.string() + ": tensor " + tensor.name + " has shape " + shape_text(tensor.shape) +
                      ", the model and the adapter's rank make it " + shape_text(expected) +
                      ": the adapter is not of this model");
}

Result<void> check_module(const fs::path& file, const std::string& name, const StoredModule& module,
                          const AdapterConfig& config) {
  const AdapterTarget& target = module.target;
  for (const auto& [tensor, part] :
       {std::pair(module.lora_a, ".lora_a"), std::pair(module.lora_b, ".lora_b")}) {
    if (tensor == nullptr) return corrupt_data(file.string() + ": tensor " + name + part + " is missing");
  }
  if (module.magnitude != nullptr && !config.dora) {
    return corrupt_data(file.string() + ": tensor " + module.magnitude->name +
                        " belongs to DoRA, but fine_tune_type is lora");
  }
  if (config.dora && target.kind == AdaptedKind::kExperts)
    return unsupported(file.string() + ": DoRA of experts (" + name + ") is not defined by mlx-lm; LoRA is");
  if (config.dora && target.kind == AdaptedKind::kEmbedding && target.quantized) {
    return unsupported(file.string() + ": DoRA of a quantized embedding (" + name +
                       ") is not defined by mlx-lm; LoRA is");
  }
  const std::int64_t rank = config.rank;
  const std::int64_t in = target.in_features;
  const std::int64_t out = target.out_features;
  switch (target.kind) {
    case AdaptedKind::kLinear:
      TRY(check_shape(file, *module.lora_a, {in, rank}));
      TRY(check_shape(file, *module.lora_b, {rank, out}));
      break;
    case AdaptedKind::kExperts:
      TRY(check_shape(file, *module.lora_a, {target.experts, rank, in}));
      TRY(check_shape(file, *module.lora_b, {target.experts, out, rank}));
      break;
    case AdaptedKind::kEmbedding:
      TRY(check_shape(file, *module.lora_a, {out, rank}));
      TRY(check_shape(file, *module.lora_b, {rank, in}));
      break;
  }
  if (module.magnitude != nullptr) TRY(check_shape(file, *module.magnitude, {out}));
  return {};
}

/// The slot of a tensor by the last part of its name; nullptr if it is none of an adapter's.
const TensorView** slot_of(StoredModule& module, std::string_view part) {
  if (part == "lora_a") return &module.lora_a;
  if (part == "lora_b") return &module.lora_b;
  if (part == "m") return &module.magnitude;
  return nullptr;
}

Result<CheckedFolder> open_folder(const fs::path& folder, const ModelSpec& spec) {
  std::error_code error;
  if (!fs::is_directory(folder, error))
    return not_found(folder.string() + " is not a folder; give the folder of an adapter");
  CheckedFolder checked;
  checked.config = TRY(read_config(folder / kConfigFile));
  const fs::path path = folder / kTensorFile;
  checked.file = TRY(MappedFile::open(path));
  checked.tensors = TRY(read_safetensors(checked.file));
  const AdapterTargets targets = adapter_targets(spec);
  for (const TensorView& tensor : checked.tensors) {
    const std::size_t dot = tensor.name.rfind('.');
    const std::string name = tensor.name.substr(0, dot == std::string::npos ? 0 : dot);
    const auto target = targets.find(name);
    StoredModule none;
    const std::string part = dot == std::string::npos ? tensor.name : tensor.name.substr(dot + 1);
    if (target == targets.end() || slot_of(none, part) == nullptr) {
      return corrupt_data(
          path.string() + ": tensor " + tensor.name +
          " is of nothing in the model that an adapter can change: the adapter is not of this "
          "model, or not of this kind of module");
    }
    if (!covers(checked.config, spec.layers.size(), name, target->second)) {
      return corrupt_data(path.string() + ": tensor " + tensor.name + " is of a module that " + kConfigFile +
                          " (num_layers, lora_parameters.keys) does not adapt");
    }
    StoredModule& module = checked.modules[name];
    module.target = target->second;
    *slot_of(module, part) = &tensor;
  }
  if (checked.modules.empty()) return corrupt_data(path.string() + " holds no tensors");
  for (const auto& [name, module] : checked.modules) TRY(check_module(path, name, module, checked.config));
  return checked;
}

float element(const TensorView& tensor, std::size_t index) {
  const std::byte* from = tensor.data.data() + index * size_of(tensor.dtype);
  if (tensor.dtype == DType::kF32) {
    float value = 0.0F;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, from, sizeof(bits));
  return tensor.dtype == DType::kF16 ? half_to_float(bits) : bfloat16_to_float(bits);
}

/// `count` matrices [rows, columns], each transposed if asked.
Result<std::vector<float>> read_matrices(const fs::path& folder, const TensorView& tensor, std::size_t count,
                                         std::size_t rows, std::size_t columns, bool transposed) {
  std::vector<float> values(count * rows * columns);
  std::size_t index = 0;
  for (std::size_t matrix = 0; matrix < count; ++matrix) {
    float* const to = values.data() + matrix * rows * columns;
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t column = 0; column < columns; ++column) {
        const float value = element(tensor, index++);
        if (!std::isfinite(value)) {
          return corrupt_data((folder / kTensorFile).string() + ": tensor " + tensor.name +
                              " contains NaN or infinity");
        }
        to[transposed ? column * rows + row : row * columns + column] = value;
      }
    }
  }
  return values;
}

Result<AdaptedModule> read_module(const fs::path& folder, const StoredModule& stored,
                                  const AdapterConfig& config) {
  AdaptedModule module;
  module.target = stored.target;
  module.rank = static_cast<std::int32_t>(config.rank);
  module.has_magnitude = config.dora;
  const auto rank = static_cast<std::size_t>(config.rank);
  const auto in = static_cast<std::size_t>(stored.target.in_features);
  const auto out = static_cast<std::size_t>(stored.target.out_features);
  const auto experts = static_cast<std::size_t>(stored.target.experts);
  switch (stored.target.kind) {
    case AdaptedKind::kLinear:
      module.down = TRY(read_matrices(folder, *stored.lora_a, 1, in, rank, true));
      module.up = TRY(read_matrices(folder, *stored.lora_b, 1, rank, out, false));
      break;
    case AdaptedKind::kExperts:
      module.down = TRY(read_matrices(folder, *stored.lora_a, experts, rank, in, false));
      module.up = TRY(read_matrices(folder, *stored.lora_b, experts, out, rank, true));
      break;
    case AdaptedKind::kEmbedding:
      module.down = TRY(read_matrices(folder, *stored.lora_b, 1, rank, in, false));
      module.up = TRY(read_matrices(folder, *stored.lora_a, 1, out, rank, true));
      break;
  }
  for (float& value : module.up) {
    value *= config.scale;
    if (!std::isfinite(value)) {
      return corrupt_data((folder / kConfigFile).string() + ": lora_parameters.scale takes the numbers of " +
                          stored.lora_a->name + " beyond fp32");
    }
  }
  if (stored.magnitude != nullptr)
    module.magnitude = TRY(read_matrices(folder, *stored.magnitude, 1, 1, out, false));
  return module;
}

}  // namespace

bool is_adapter_folder(const fs::path& folder) {
  std::error_code error;
  return fs::is_regular_file(folder / kConfigFile, error);
}

Result<void> Adapter::check(const fs::path& folder, const ModelSpec& spec) {
  TRY(open_folder(folder, spec));
  return {};
}

Result<Adapter> Adapter::open(const fs::path& folder, const ModelSpec& spec) {
  const CheckedFolder checked = TRY(open_folder(folder, spec));
  Adapter adapter;
  adapter.folder_ = folder;
  for (const auto& [name, stored] : checked.modules)
    adapter.modules_.emplace(name, TRY(read_module(folder, stored, checked.config)));
  return adapter;
}

std::int64_t Adapter::num_parameters() const {
  std::size_t count = 0;
  for (const auto& [name, module] : modules_)
    count += module.down.size() + module.up.size() + module.magnitude.size();
  return static_cast<std::int64_t>(count);
}

}  // namespace mlxd
