// Which modules of a model an adapter may change: those that mlx-lm wraps, by the names under which they are
// stored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "model/model_spec.h"

namespace mlxd {

enum class AdaptedKind : std::uint8_t { kLinear, kExperts, kEmbedding };

struct AdapterTarget {
  AdaptedKind kind = AdaptedKind::kLinear;
  std::int32_t experts = 1;
  std::int32_t in_features = 0;
  std::int32_t out_features = 0;  // stored rows, of each expert
  bool quantized = false;
  /// Of modules in a layer: its index, and the name within it ("self_attn.q_proj").
  std::optional<std::size_t> layer;
  std::string local_name;
};

/// By stored name. Left out is what mlx-lm cannot adapt: position embeddings, the two maps of multi-head
/// latent attention where they are stored apart, and experts that are stored one by one, which mlx-lm knows
/// stacked under another name.
using AdapterTargets = std::map<std::string, AdapterTarget, std::less<>>;
AdapterTargets adapter_targets(const ModelSpec& spec);

}  // namespace mlxd
