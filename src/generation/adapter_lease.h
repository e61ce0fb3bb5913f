// A loaded adapter (LoRA) as requests name it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace mlxd {

/// Names an adapter from loading to unloading, and no other ever again.
using AdapterId = std::uint64_t;

/// The model as it is.
inline constexpr AdapterId kNoAdapter = 0;

/// Keeps the adapter loaded while anyone holds it.
struct AdapterLease {
  AdapterId id = kNoAdapter;
  std::string name;
};
using AdapterLeasePtr = std::shared_ptr<const AdapterLease>;

}  // namespace mlxd
