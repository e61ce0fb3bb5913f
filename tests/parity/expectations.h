// A committed file of expected values (README.md) in this folder.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "model/safetensors.h"

namespace mlxd::testing {

class Expectations {
 public:
  explicit Expectations(const std::string& file_name) {
    Result<MappedFile> file = MappedFile::open(std::string(MLXD_SOURCE_DIR) + "/tests/parity/" + file_name);
    if (!file.ok()) return;
    file_ = file.take_value();
    Result<std::vector<TensorView>> tensors = read_safetensors(file_);
    if (tensors.ok()) tensors_ = tensors.take_value();
  }

  /// Elements of a tensor of type T; empty if there is none.
  template <typename T>
  std::vector<T> get(const std::string& name) const {
    for (const TensorView& tensor : tensors_) {
      if (tensor.name != name || size_of(tensor.dtype) != sizeof(T)) continue;
      std::vector<T> values(tensor.data.size() / sizeof(T));
      std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
      return values;
    }
    ADD_FAILURE() << "no tensor " << name;
    return {};
  }

 private:
  MappedFile file_;
  std::vector<TensorView> tensors_;
};

}  // namespace mlxd::testing
