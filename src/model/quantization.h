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
  /// `at_load`: what dense layers become when they are loaded, but for those that mlxd convert would leave
  /// dense (conversion_rules.h) and those whose inputs are no whole groups.
  static Result<QuantizationConfig> read(const ConfigReader& config,
                                         const std::optional<Quantization>& at_load = {});

  /// Checks the tensors of `linear`, of which name and sizes are set, and sets how they are stored. Errors:
  /// kCorruptData naming the tensor, kUnsupported.
  Result<void> complete(const WeightMap& weights, LinearSpec& linear) const;
  /// The last part of it: what is asked for at load, of a layer whose storage is set. Errors: kUnsupported of
  /// a layer that is quantized already.
  Result<void> quantize_at_load(const WeightMap& weights, LinearSpec& linear) const;

 private:
  Result<Quantization> of_module(const WeightMap& weights, const LinearSpec& linear) const;

  enum class Choice { kPlain, kQuantized };
  struct Entry {
    Choice choice = Choice::kQuantized;
    Quantization quantization;
  };

  std::optional<Quantization> default_;
  ForeignForms foreign_;
  std::optional<Quantization> at_load_;
  std::optional<DType> dtype_;  // that config.json asks for
  std::string model_type_;      // of the text model
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace mlxd
