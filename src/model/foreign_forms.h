// Quantizations of other tools: what config.json says of them, and by which tensors they are known.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "model/config_reader.h"
#include "model/model_spec.h"
#include "model/weight_map.h"

namespace mlxd {

/// quantization_config with one of these as its quant_method:
/// - awq (AutoAWQ's "gemm" packing, 4 bits), gptq (also format gptq_v2; 2, 3, 4 or 8 bits): affine codes.
/// - fp8, fbgemm_fp8: dense.
/// - compressed-tensors: pack-quantized integers of 2, 4 or 8 bits, affine; float-quantized, dense;
///   mxfp4-pack-quantized (checkpoint_names.h shows it as MLX's mxfp4).
class ForeignForms {
 public:
  /// Errors: kUnsupported naming the field for other methods and packings, kCorruptData.
  static Result<ForeignForms> read(const ConfigReader& section, const std::string& method);

  /// Whether the tensors of `linear` (name and sizes) are in one of these forms; then its quantization and
  /// storage are set, and everything checked that headers tell. Errors: kCorruptData, kUnsupported, naming
  /// the tensor.
  Result<bool> find(const WeightMap& weights, LinearSpec& linear) const;

 private:
  Result<void> find_integers(const WeightMap& weights, const std::string& scales, LinearSpec& linear) const;

  WeightStorage words_ = WeightStorage::kMlx;  // how NAME.qweight is packed; kMlx: there must be none
  std::int32_t bits_ = 0;                      // of qweight
  std::int32_t group_size_ = 0;                // of qweight; 0: config.json does not say, or whole rows
  ScaleBlock scale_block_;
};

}  // namespace mlxd
