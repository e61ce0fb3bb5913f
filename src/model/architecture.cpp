#include "model/architectures/architecture.h"

#include <algorithm>

namespace mlxd {
const Architecture* find_architecture(std::string_view model_type) {
  for (const Architecture* architecture : architectures()) {
    const auto types = architecture->model_types;
    if (std::find(types.begin(), types.end(), model_type) != types.end()) return architecture;
  }
  return nullptr;
}

std::string supported_model_types() {
  std::string text;
  for (const Architecture* architecture : architectures()) {
    for (const std::string_view type : architecture->model_types) {
      text += (text.empty() ? "" : ", ") + std::string(type);
    }
  }
  return text;
}

namespace {

/// A layer of these sizes, its weights not looked at yet.
Result<LinearSpec> begin_linear(const ArchitectureInput& input, std::string name, std::int64_t in_features,
                                std::int64_t out_features, bool has_bias) {
  if (in_features > INT32_MAX || out_features > INT32_MAX) {
    return corrupt_data(input.weights.folder().string() + ": tensor " + name +
                        ".weight: config.json makes it " + std::to_string(out_features) + " × " +
                        std::to_string(in_features) + ", at most 2147483647 either way are supported");
  }
  LinearSpec linear;
  linear.name = std::move(name);
  linear.in_features = static_cast<std::int32_t>(in_features);
  linear.out_features = static_cast<std::int32_t>(out_features);
  linear.has_bias = has_bias;
  if (has_bias) TRY(check_vector(input, linear.name + ".bias", out_features));
  return linear;
}

}  // namespace

Result<LinearSpec> make_linear(const ArchitectureInput& input, std::string name, std::int64_t in_features,
                               std::int64_t out_features, bool has_bias) {
  LinearSpec linear = TRY(begin_linear(input, std::move(name), in_features, out_features, has_bias));
  TRY(input.quantization.complete(input.weights, linear));
  return linear;
}

Result<LinearSpec> make_transposed_linear(const ArchitectureInput& input, std::string name,
                                          std::int64_t matrices, std::int64_t in_features,
                                          std::int64_t out_features, bool has_bias) {
  LinearSpec linear = TRY(begin_linear(input, std::move(name), in_features, out_features, has_bias));
  linear.storage = WeightStorage::kTransposed;
  const TensorView* weight = TRY(input.weights.get(linear.name + ".weight"));
  const std::size_t rank = weight->shape.size();
  const bool fits = (rank == 3 && weight->shape[0] == matrices) || (rank == 2 && matrices == 1);
  if (is_float(weight->dtype) && fits && weight->shape[rank - 2] == in_features &&
      weight->shape[rank - 1] * matrices == out_features) {
    TRY(input.quantization.quantize_at_load(input.weights, linear));
    return linear;
  }
  return corrupt_data(input.weights.folder().string() + ": tensor " + weight->name +
                      ": must be F16, BF16 or F32 [" +
                      (rank == 3 ? std::to_string(matrices) + ", " : std::string()) +
                      std::to_string(in_features) + ", " + std::to_string(out_features / matrices) + "]");
}

Result<NormSpec> make_norm(const ArchitectureInput& input, const NormSpec& like, std::string name,
                           std::int64_t size) {
  NormSpec norm = like;
  norm.name = std::move(name);
  norm.size = static_cast<std::int32_t>(size);
  if (norm.has_weight) TRY(check_vector(input, norm.name + ".weight", size));
  if (norm.has_bias) TRY(check_vector(input, norm.name + ".bias", size));
  return norm;
}

Result<void> check_vector(const ArchitectureInput& input, const std::string& name, std::int64_t size) {
  const TensorView* tensor = TRY(input.weights.get(name));
  // Its dimensions may be heads and head_dim, or experts and outputs.
  if (!is_float(tensor->dtype) || tensor->shape.empty() || tensor->shape.size() > 2 ||
      tensor->num_elements() != size) {
    return corrupt_data(input.weights.folder().string() + ": tensor " + name +
                        ": must be F16, BF16 or F32 [" + std::to_string(size) + "], is " +
                        std::string(to_string(tensor->dtype)) + " with " +
                        std::to_string(tensor->num_elements()) + " elements");
  }
  return {};
}

}  // namespace mlxd
