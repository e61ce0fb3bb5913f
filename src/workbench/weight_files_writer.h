// The safetensors files of a model folder, with their index, as mlx-lm writes them: model.safetensors, or
// from 5 GiB on model-00001-of-0000N.safetensors and so forth; and model.safetensors.index.json with
// total_size, total_parameters and the file of each tensor. Tensors are announced beforehand; data comes
// piece by piece in any order. One owner thread; incomplete files are left behind unless `finish` succeeds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/safetensors_writer.h"

namespace mlxd {

class WeightFilesWriter {
 public:
  /// mlx-lm's limit.
  static constexpr std::uint64_t kMaxFileBytes = std::uint64_t{5} << 30U;

  /// Creates the files in FOLDER. In the order given, tensors fill a file up to `max_file_bytes`; a larger
  /// one has a file of its own. Errors: kIo; kInvalidArgument for a name given twice.
  static Result<WeightFilesWriter> create(const std::filesystem::path& folder,
                                          std::vector<TensorLayout> tensors,
                                          std::uint64_t max_file_bytes = kMaxFileBytes);

  /// As in SafetensorsWriter.
  Result<void> write(std::string_view name, std::span<const std::byte> data);
  Result<void> write_part(std::string_view name, std::uint64_t offset, std::span<const std::byte> data);
  /// Checks that all data came and flushes the files to disk.
  Result<void> finish();
  /// The index's text; `num_parameters` as mlx-lm counts them (codes count as one each).
  std::string index_json(std::int64_t num_parameters) const;

  std::size_t num_files() const { return files_.size(); }
  std::uint64_t file_bytes() const;

 private:
  WeightFilesWriter() = default;
  Result<SafetensorsWriter*> file_of(std::string_view tensor);

  std::vector<SafetensorsWriter> files_;
  std::vector<std::string> file_names_;
  std::map<std::string, std::size_t, std::less<>> file_of_tensor_;
  std::uint64_t tensor_bytes_ = 0;
};

/// Name of the index within a model folder.
inline constexpr std::string_view kWeightIndexName = "model.safetensors.index.json";

}  // namespace mlxd
