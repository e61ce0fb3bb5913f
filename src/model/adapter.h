// A LoRA or DoRA adapter in mlx-lm's form: a folder with adapter_config.json and adapters.safetensors, as
// mlx_lm.lora writes it. A value: everything is read and checked against the model's spec; nothing is kept
// open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/adapter_targets.h"
#include "model/model_spec.h"

namespace mlxd {

inline constexpr std::int32_t kMaxAdapterRank = 1024;

/// What an adapter makes of a module that computes W x + b, of each expert where it has several:
/// - LoRA (arXiv 2106.09685): W x + up · (down · x) + b.
/// - DoRA (arXiv 2402.09353): magnitude / |W + up · down| · (W x + up · (down · x)) + b, row by row.
/// Of an embedding the same holds for the rows that are looked up, and where it is the output layer too, for
/// its product. The adapter's scale is in `up`.
struct AdaptedModule {
  AdapterTarget target;
  std::int32_t rank = 0;
  std::vector<float> down;       // [experts, rank, in_features]
  std::vector<float> up;         // [experts, rank, out_features]: transposed
  bool has_magnitude = false;    // DoRA
  std::vector<float> magnitude;  // [out_features]; empty, though it has one: |W|, as before training
};

class Adapter {
 public:
  /// Errors, all naming the folder or file, and the tensor: kNotFound; kCorruptData (shapes that are not the
  /// model's, a module the model or the configuration does not have, half a pair, NaN, infinity);
  /// kUnsupported (another tool's format, fine_tune_type full, DoRA of experts or of a quantized embedding,
  /// as in mlx-lm).
  static Result<Adapter> open(const std::filesystem::path& folder, const ModelSpec& spec);
  /// Everything that `open` checks but the numbers: quick, whatever the size.
  static Result<void> check(const std::filesystem::path& folder, const ModelSpec& spec);

  const std::filesystem::path& folder() const { return folder_; }
  /// By stored name, as in LinearSpec.
  const std::map<std::string, AdaptedModule>& modules() const { return modules_; }
  std::int64_t num_parameters() const;

 private:
  std::filesystem::path folder_;
  std::map<std::string, AdaptedModule> modules_;
};

/// Whether a folder looks like an adapter: it holds adapter_config.json.
bool is_adapter_folder(const std::filesystem::path& folder);

}  // namespace mlxd
