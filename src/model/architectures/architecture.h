// What one file of this folder provides: how a family of checkpoints becomes a ModelSpec. A new architecture
// is one new file NAME.cpp here that defines `extern const Architecture NAME_architecture`; the build finds
// it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/config_reader.h"
#include "model/model_spec.h"
#include "model/quantization.h"
#include "model/weight_map.h"

namespace mlxd {

struct ArchitectureInput {
  const ConfigReader& config;
  const QuantizationConfig& quantization;
  const WeightMap& weights;
};

struct Architecture {
  /// Values of config.json's model_type, static storage.
  std::span<const std::string_view> model_types;
  /// Errors: kCorruptData (numbers, shapes, missing tensors), kUnsupported, each naming the thing.
  Result<ModelSpec> (*build)(const ArchitectureInput& input);
  /// Whether a tensor that the spec does not use may be left out without changing any result.
  bool (*is_unused)(const ModelSpec& spec, std::string_view tensor_name);
};

/// All architectures, in the order of their files.
std::span<const Architecture* const> architectures();
/// nullptr if no architecture has this model_type.
const Architecture* find_architecture(std::string_view model_type);
/// "llama, mistral", for messages.
std::string supported_model_types();

/// Limits that hold for every architecture: beyond them a file is wrong, not large.
inline constexpr std::int64_t kMaxLayers = 10'000;
inline constexpr std::int64_t kMaxVocabulary = 10'000'000;
inline constexpr std::int64_t kMaxWidth = 262'144;
inline constexpr std::int64_t kMaxHeads = 4'096;
inline constexpr std::int64_t kMaxHeadDim = 1'024;
inline constexpr std::int64_t kMaxContext = 16'777'216;
inline constexpr std::int64_t kMaxExperts = 4'096;
inline constexpr std::int64_t kMaxExpertsPerToken = 64;
inline constexpr std::int64_t kMaxExpertsInAll = 262'144;
inline constexpr std::int64_t kMaxExpertWidths = 1'048'576;  // those of a token together

/// A linear layer or embedding, its tensors checked. With `has_bias`, NAME.bias must be [out]. Tensors of
/// stacked experts may have one dimension more in front.
Result<LinearSpec> make_linear(const ArchitectureInput& input, std::string name, std::int64_t in_features,
                               std::int64_t out_features, bool has_bias);
/// A dense layer of `matrices` stacked ones, each stored [in, out / matrices]: WeightStorage::kTransposed.
Result<LinearSpec> make_transposed_linear(const ArchitectureInput& input, std::string name,
                                          std::int64_t matrices, std::int64_t in_features,
                                          std::int64_t out_features, bool has_bias);
/// A norm whose kind, weights and eps `like` says, its tensors checked; `size` elements in one or two
/// dimensions.
Result<NormSpec> make_norm(const ArchitectureInput& input, const NormSpec& like, std::string name,
                           std::int64_t size);
/// Checks a tensor of `size` floats.
Result<void> check_vector(const ArchitectureInput& input, const std::string& name, std::int64_t size);

}  // namespace mlxd
