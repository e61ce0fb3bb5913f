// Turns a GGUF file of a llama-type model into an MLX model folder without changing any weight: blocks become
// affine codes with the same values, the tokenizer and configuration are rebuilt from the metadata.
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
  /// Called with 0 … 1 as weights are written; may be empty.
  std::function<void(float)> progress;
};

struct ImportReport {
  std::filesystem::path folder;
  std::string name;
  std::int64_t num_tensors = 0;
  std::int64_t num_parameters = 0;
  std::uint64_t weight_bytes = 0;
  /// The commonest storage of linear layers: "4 bits", "F16", …
  std::string storage;
  /// Things worth telling the user, e.g. scales kept in F32 because F16 cannot hold their offsets.
  std::vector<std::string> notes;
};

/// Errors: kNotFound, kCorruptData (file and thing), kUnsupported (architecture, tensor type, tokenizer, by
/// name), kConflict (the name is taken, or is being imported), kInvalidArgument (the name), kIo (disk full,
/// …).
Result<ImportReport> import_gguf(const std::filesystem::path& file, const ImportOptions& options);

}  // namespace mlxd
