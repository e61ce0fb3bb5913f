// Requests to /api/v1/servers. Pure codecs.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/field_shape.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/size_text.h"

namespace mlxd::api::manage {

std::vector<FieldInfo> pool_load_infos(), pool_change_infos();

/// POST: {"model": "…", "keep_alive": "5m", "pin": true}
struct PoolLoad {
  std::string model;
  std::optional<Duration> keep_alive;
  std::optional<bool> pin;
};
/// Errors: kInvalidArgument naming the field.
Result<PoolLoad> decode_pool_load(std::string_view body);

/// PATCH: {"memory": "8GB" | "50%" | bytes, "eviction": "lru", "keep_alive": "5m", "swap_wait": 5}; what is
/// absent stays.
struct PoolChange {
  std::optional<MemorySize> memory;  // of the machine's; 0 bytes: chosen by the program
  std::string eviction;              // "lru", "lfu", "ttl"; empty: absent
  std::optional<Duration> keep_alive;
  std::optional<Duration> swap_wait;
  /// The same as settings: "memory", "eviction", "keep-alive", "swap-wait" with their texts.
  std::map<std::string, std::optional<std::string>> settings;
};
Result<PoolChange> decode_pool_change(std::string_view body);

/// DELETE: "mode=wait" (also if absent) or "mode=cancel"; true: cancel.
Result<bool> decode_unload_mode(std::string_view query);

}  // namespace mlxd::api::manage
