// Writes a model folder anew in another of MLX's formats: quantized, requantized, or plain floats, as
// mlx-lm's converter does (which modules, names, types, config.json) and with MLX's own codes, so that mlx-lm
// loads it and computes what it would from its own conversion. The source is any folder that this program
// loads: MLX's, or a Hugging Face checkpoint with the same tensor names.
//
// Runs on the caller's thread; memory is bounded by a piece of a tensor, beside what is mapped. Either the
// complete folder appears under its name, checked as it will be at load, or nothing does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model_spec.h"
#include "model/quantize.h"
#include "model/tensor.h"
#include "workbench/weight_files_writer.h"

namespace mlxd {

struct ConvertOptions {
  std::filesystem::path out;
  /// What linear layers and embeddings become whose inputs divide into its groups; kNone: plain floats.
  Quantization form;
  /// One of mlx-lm's recipes of mixed bits ("mixed_3_6"), which then say the bits, in groups of
  /// form.group_size; empty: none.
  std::string recipe{};
  /// Of plain tensors, scales and biases: F16, BF16 or F32. Absent: what config.json calls torch_dtype, else
  /// each tensor's own.
  std::optional<DType> dtype{};
  /// Of affine layers; the codes of other than MLX's scales are not mlx-lm's.
  AffineScales scales = AffineScales::kMlx;
  /// Replace `out` if it is a model folder; otherwise its existence is kConflict.
  bool overwrite = false;
  std::uint64_t max_file_bytes = WeightFilesWriter::kMaxFileBytes;
  std::function<void(double)> progress{};  // 0 … 1; may be empty
  std::function<bool()> is_cancelled{};    // asked between pieces; may be empty
};

struct ConvertReport {
  std::filesystem::path folder;
  std::int64_t num_parameters = 0;
  std::uint64_t source_bytes = 0;  // of the weight files
  std::uint64_t weight_bytes = 0;
  std::size_t num_files = 0;
  double bits_per_weight = 0.0;
  /// Modules by what became of them.
  std::int64_t quantized = 0, kept = 0, dense = 0;
  /// Things worth telling the user, e.g. that the source was quantized already.
  std::vector<std::string> notes;
};

/// Errors: those of opening `source`; kInvalidArgument (form, recipe, dtype, `out` within the source or
/// around it); kConflict (`out` exists, or is being made); kUnsupported (a recipe for a model that has no
/// layers of that kind; nothing to quantize); kCorruptData (NaN, infinity) and kInvalidArgument (a value that
/// the type cannot hold), naming the tensor; kIo (too little space, …); kCancelled.
Result<ConvertReport> convert_model(const std::filesystem::path& source, const ConvertOptions& options);

/// Bytes of the folder that `convert_model` would make, by a look at the headers. Errors: as convert_model's
/// before anything is written.
Result<std::uint64_t> estimate_conversion(const std::filesystem::path& source, const ConvertOptions& options);

}  // namespace mlxd
