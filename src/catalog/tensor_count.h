// Counts a model's parameters from the headers of its safetensors files: of a quantized matrix those it
// stands for, not its packed words. One owner.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace mlxd {

class TensorCount {
 public:
  /// Takes in a file's header; one that has none makes the count unknown.
  void add_file(const std::filesystem::path& file);
  /// 0: unknown. `config` says how many bits and columns a packed matrix has.
  std::int64_t num_parameters(const boost::json::object& config) const;

 private:
  struct Tensor {
    std::string type;  // "U32"
    std::int64_t elements = 0;
  };
  std::map<std::string, Tensor> tensors_;
  bool broken_ = false;
};

}  // namespace mlxd
