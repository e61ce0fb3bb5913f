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
PoolPlan pool_plan_of(const Settings& settings);
/// Whether both say the same of the pool.
bool same_pool(const Settings& a, const Settings& b);

}  // namespace mlxd
