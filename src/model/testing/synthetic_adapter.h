// Adapters for the models of synthetic_model.h, in mlx-lm's form. Not part of the product.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/testing/rule_model.h"
#include "model/testing/synthetic_model.h"

namespace mlxd::testing {

struct SyntheticAdapterOptions {
  std::string method = "lora";  // or "dora"
  std::int32_t rank = 4;
  double scale = 2.0;
  /// Modules of every layer; of a llama.
  std::vector<std::string> keys = {"self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj",
                                   "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
  DType dtype = DType::kF32;
};

/// What adapter_config.json says.
boost::json::object synthetic_adapter_config(const SyntheticAdapterOptions& options);
std::vector<TensorRule> synthetic_adapter_rules(const SyntheticModelOptions& model,
                                                const SyntheticAdapterOptions& options);

/// Writes the adapter of a model with these options into FOLDER, which is created.
Result<void> write_synthetic_adapter(const std::filesystem::path& folder, const SyntheticModelOptions& model,
                                     const SyntheticAdapterOptions& options);

}  // namespace mlxd::testing
