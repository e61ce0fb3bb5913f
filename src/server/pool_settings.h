// What the settings say of the pool of models. Pure functions but for a look at this machine's memory.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/size_text.h"
#include "runtime/pool_policy.h"
#include "settings/settings.h"

namespace mlxd {

/// Of this machine; 0: chosen by the program.
std::size_t memory_bytes_of(const MemorySize& size);
/// "lru", "lfu" or "ttl".
Eviction eviction_of(std::string_view name);

struct PoolPlan {
  PoolSettings settings;
  bool follows_machine = false;  // the budget is no more than what is free
};
/// A budget of 0 bytes is the machine's part.
void set_budget(PoolPlan& plan, std::size_t bytes);
/// Takes over what the settings say of the pool and did not say before; false: nothing.
bool take_changes(const Settings& before, const Settings& now, PoolPlan& plan);

}  // namespace mlxd
