// What a conversion makes of a model, before any weight is read: every tensor of the new folder with its
// format and where its numbers come from, and the new config.json. A value; views into the model folder,
// which must outlive it.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/model_folder.h"
#include "model/safetensors_writer.h"
#include "workbench/convert_model.h"

namespace mlxd {

/// A linear layer or embedding, as it is stored: fused projections and stacked experts are one.
struct ConvertedModule {
  std::string name;  // without ".weight"
  /// Of the source, stacked one after the other: one whole stored module, or those of each expert.
  std::vector<LinearSpec> parts;
  std::vector<std::int64_t> shape;  // of its numbers: […, in]
  Quantization form;                // kNone: plain floats
  DType dtype = DType::kF32;        // of the floats, or of scales and biases
  bool kept = false;                // stored in this form already: copied bit by bit

  std::int64_t columns() const { return shape.back(); }
  /// What is written: NAME.weight and, if quantized, NAME.scales and NAME.biases.
  std::vector<TensorLayout> layouts() const;
};

/// Any other tensor: norms, biases, sinks.
struct ConvertedTensor {
  std::string name;
  /// As the source's WeightMap has them, which need not be the file's names: one, or those of single experts.
  std::vector<std::string> parts;
  std::vector<std::int64_t> shape;
  DType dtype = DType::kF32;
  float added = 0.0F;  // to each number, as a number of the source's type
};

struct ConversionPlan {
  std::vector<ConvertedModule> modules;  // in the order of the layers
  std::vector<ConvertedTensor> tensors;
  boost::json::object config;

  /// Of all tensors, layer by layer as far as they are modules, then the others.
  std::vector<TensorLayout> layouts() const;
};

/// What config.json calls F16, BF16 and F32.
std::string_view torch_name(DType dtype);

/// `config`: the source's config.json. Errors: as of convert_model, as far as they need no weights.
Result<ConversionPlan> plan_conversion(const ModelFolder& source, const boost::json::object& config,
                                       const ConvertOptions& options);

}  // namespace mlxd
