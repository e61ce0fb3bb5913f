// An MLX model folder, opened and checked, before any weight is read: config.json, generation_config.json and
// tensor headers turned into a ModelSpec. Everything a header can tell is refused here, in milliseconds.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

class ModelFolder {
 public:
  /// Errors name file, thing and what to do: kNotFound, kCorruptData (shapes, missing tensors, absurd
  /// numbers), kUnsupported (unknown model_type, quantization this build lacks). `at_load`: dense layers
  /// become this when they are loaded, with the codes that mlxd convert would write; errors if a layer is
  /// quantized already, or none can be.
  static Result<ModelFolder> open(const std::filesystem::path& folder,
                                  const std::optional<Quantization>& at_load = {});

  const std::filesystem::path& path() const { return path_; }
  std::string name() const { return path_.filename().string(); }
  const ModelSpec& spec() const { return spec_; }
  const WeightMap& weights() const { return weights_; }
  /// End-of-generation ids: generation_config.json's win over config.json's.
  const std::vector<std::int32_t>& eos_tokens() const { return eos_tokens_; }
  /// Layers whose inputs are no whole groups of what was asked for at load, and which so stay dense.
  std::int64_t num_left_dense() const { return num_left_dense_; }
  /// Number of parameters (codes count as one each), for display.
  std::int64_t num_parameters() const { return num_parameters_; }

 private:
  std::filesystem::path path_;
  ModelSpec spec_;
  WeightMap weights_;
  std::vector<std::int32_t> eos_tokens_;
  std::int64_t num_parameters_ = 0;
  std::int64_t num_left_dense_ = 0;
};

}  // namespace mlxd
