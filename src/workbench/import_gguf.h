// Turns a GGUF file into an MLX model folder with the same weights, as nearly as MLX's formats hold them:
// blocks become affine codes, the tokenizer and configuration are rebuilt from the metadata.
//
// Runs on the caller's thread, in memory bounded by the largest tensor. Either the complete folder appears
// under its name, checked as it will be at load, or nothing does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace mlxd {

struct ImportOptions {
  /// Name of the folder to make; empty: the file's name without ".gguf".
  std::string name;
  /// Where model folders live (~/.mlxd/models); created if missing.
  std::filesystem::path models_folder;
  /// Replace a folder of the same name; otherwise it is kConflict.
  bool overwrite = false;
  /// Called with 0 … 1 as weights are looked through and then written; may be empty.
  std::function<void(float)> progress;
  std::function<bool()> is_cancelled{};  // asked between rows; may be empty
};

/// What became of one tensor.
struct ImportedTensor {
  std::string gguf_name;
  /// GGUF's type: "Q4_K".
  std::string type;
  /// "4 bits, F16 scales", "F32".
  std::string storage;
  /// The file's own codes, or values of a dense tensor.
  bool keeps_codes = true;
  /// Largest difference to the file's values, as a fraction of the largest magnitude in its row; 0: none.
  double largest_error = 0.0;
};

struct ImportReport {
  std::filesystem::path folder;
  std::string name;
  std::int64_t num_tensors = 0;
  std::int64_t num_parameters = 0;
  std::uint64_t weight_bytes = 0;
  std::vector<ImportedTensor> tensors;
  /// The commonest storage of linear layers: "4 bits", "F16", …
  std::string storage;
  /// Things worth telling the user, e.g. scales kept in F32 because F16 cannot hold their offsets.
  std::vector<std::string> notes;
};

/// One line for each GGUF type and what became of it: exactly the same, scales rounded, or quantized again,
/// and by how much.
std::vector<std::string> describe_tensors(const std::vector<ImportedTensor>& tensors);

/// What the imported model is called. Errors: kInvalidArgument.
Result<std::string> imported_name(const std::filesystem::path& file, const std::string& name);

/// Errors: kNotFound, kCorruptData (file and thing), kUnsupported (architecture, tensor type, tokenizer, by
/// name), kConflict (the name is taken, or is being imported), kInvalidArgument (the name), kIo (disk full,
/// …), kCancelled.
Result<ImportReport> import_gguf(const std::filesystem::path& file, const ImportOptions& options);

}  // namespace mlxd
