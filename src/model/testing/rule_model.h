// Model folders whose tensors are made by rules, so that another program can make the same: each tensor's
// numbers follow from its name. tests/parity/make_architectures.py is that program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <boost/json.hpp>

#include "base/result.h"
#include "model/tensor.h"

namespace mlxd::testing {

/// Floats: spread evenly over [low, high), e4m3 then rounded. Integers: the same, rounded down; random words
/// if high is not above low.
struct TensorRule {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  double low = 0.0;
  double high = 0.0;
};

/// The rules of a case's "tensors": NAME: [type, shape, low, high], or with a number of layers behind them
/// PREFIX.*.NAME for each.
std::vector<TensorRule> read_rules(const boost::json::object& tensors);

/// The numbers of one tensor, as files hold them.
std::vector<std::byte> make_data(const TensorRule& rule);

/// Writes config.json and model.safetensors into FOLDER, which is created.
Result<void> write_rule_model(const std::filesystem::path& folder, const boost::json::value& config,
                              const std::vector<TensorRule>& rules);

/// Writes adapter_config.json and adapters.safetensors into FOLDER, which is created.
Result<void> write_rule_adapter(const std::filesystem::path& folder, const boost::json::value& config,
                                const std::vector<TensorRule>& rules);

}  // namespace mlxd::testing
