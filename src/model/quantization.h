// How a checkpoint's linear layers are quantized. Mode, bits and group size are derived from the tensors'
// shapes, which cannot lie, and compared with what config.json says (mlx-lm's `quantization`, with per-module
// entries). Keeps references: configuration and weights must outlive the object.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/config_reader.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

class QuantizationConfig {
 public:
  /// Reads `quantization`, else `quantization_config`. An entry without a mode is affine, whatever the
  /// default. Errors: kUnsupported for other tools' formats (gptq, awq, bitnet, …) and unknown modes,
  /// kCorruptData for numbers outside the format.
  static Result<QuantizationConfig> read(const ConfigReader& config);

  /// Checks the tensors of module `name` (weight [out, in], scales, biases) and says how they are stored.
  /// Errors: kCorruptData naming the tensor, kUnsupported.
  Result<Quantization> of_module(const WeightMap& weights, const std::string& name, std::int32_t in_features,
                                 std::int32_t out_features) const;

 private:
  enum class Choice { kPlain, kQuantized };
  struct Entry {
    Choice choice = Choice::kQuantized;
    Quantization quantization;
  };

  std::optional<Quantization> default_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace mlxd
