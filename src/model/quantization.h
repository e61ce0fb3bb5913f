// How a checkpoint's linear layers are quantized. Mode, bits and group size are derived from the tensors'
// shapes, which cannot lie, and compared with what config.json says (mlx-lm's `quantization`, with per-module
// entries, or another tool's quantization_config). A value.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/config_reader.h"
#include "model/foreign_forms.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

class QuantizationConfig {
 public:
  /// Reads `quantization`, else `quantization_config`. An entry without a mode is affine, whatever the
  /// default. Errors: kUnsupported for formats of other tools that are not ForeignForms and for unknown
  /// modes, kCorruptData for numbers outside the format.
  static Result<QuantizationConfig> read(const ConfigReader& config);

  /// Checks the tensors of `linear`, of which name and sizes are set, and sets how they are stored. Errors:
  /// kCorruptData naming the tensor, kUnsupported.
  Result<void> complete(const WeightMap& weights, LinearSpec& linear) const;

 private:
  Result<Quantization> of_module(const WeightMap& weights, const LinearSpec& linear) const;

  enum class Choice { kPlain, kQuantized };
  struct Entry {
    Choice choice = Choice::kQuantized;
    Quantization quantization;
  };

  std::optional<Quantization> default_;
  ForeignForms foreign_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace mlxd
