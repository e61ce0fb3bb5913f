// The quantized versions of one model on the hub, side by side, and the one for this machine. A function.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "catalog/hub_client.h"
#include "catalog/memory_fit.h"

namespace mlxd {

struct HubVariant {
  HubModel model;
  MemoryFit fit;
};

struct HubVariants {
  std::string base;                  // what they are made from
  std::vector<HubVariant> variants;  // in MLX's format, smallest first
  std::string recommended;  // of those that fit the one with the largest weights of up to 8 bits; or empty
};

/// Of a model or of another variant of it. Three requests: the model, its variants, the sizes of its layers.
/// Errors: as HubClient's.
Result<HubVariants> find_hub_variants(const HubClient& hub, const std::string& id,
                                      const FitQuestion& question, StopFlag& stop);

}  // namespace mlxd
