// All tensors of a model folder, mapped, by name. Thread-safe for reading; views live as long as the map. A
// tensor may go by another name than its file's (rename), which its view keeps for messages.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "model/tensor.h"

namespace mlxd {

class WeightMap {
 public:
  /// Maps every model*.safetensors of `folder` and validates all headers (offsets, overlaps, sizes, dtypes).
  /// Errors: kNotFound (no such file), kCorruptData naming file and tensor; duplicate names are corrupt.
  static Result<WeightMap> open(const std::filesystem::path& folder);

  const TensorView* find(std::string_view name) const;  // nullptr if absent
  /// As `find`, with an error (kCorruptData) that names the tensor and the folder.
  Result<const TensorView*> get(std::string_view name) const;
  const std::map<std::string, TensorView, std::less<>>& tensors() const { return tensors_; }
  std::size_t total_bytes() const { return total_bytes_; }
  const std::filesystem::path& folder() const { return folder_; }

  /// Lets every tensor go by the name that `rename` returns for its own. It may also give the view another
  /// type and shape of as many bytes. Errors: kCorruptData if two would have one name.
  Result<void> rename(const std::function<std::string(TensorView&)>& rename);

  /// The tensor's data has been copied elsewhere: give its page-cache mapping back.
  void drop_pages(const TensorView& tensor) const;
  /// The tensor will be read soon.
  void will_need(const TensorView& tensor) const;

 private:
  std::filesystem::path folder_;
  std::vector<MappedFile> files_;
  std::map<std::string, TensorView, std::less<>> tensors_;
  std::size_t total_bytes_ = 0;
};

}  // namespace mlxd
