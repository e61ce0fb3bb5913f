#include "server/pool_settings.h"

#include <algorithm>
#include <array>

#include "server/pool_loader.h"
#include "workbench/machine.h"

namespace mlxd {

std::size_t memory_bytes_of(const MemorySize& size) {
  if (size.percent == 0.0) return static_cast<std::size_t>(size.bytes);
  return static_cast<std::size_t>(static_cast<double>(total_memory_bytes()) * size.percent / 100.0);
}

Eviction eviction_of(std::string_view name) {
  if (name == "lfu") return Eviction::kLfu;
  return name == "ttl" ? Eviction::kTtl : Eviction::kLru;
}

void set_budget(PoolPlan& plan, std::size_t bytes) {
  plan.follows_machine = bytes == 0;
  plan.settings.spend_budget = bytes > 0;
  plan.settings.budget_bytes = bytes > 0 ? bytes : default_budget_bytes();
}

PoolPlan pool_plan_of(const Settings& settings) {
  PoolPlan plan;
  set_budget(plan, memory_bytes_of(settings.memory()));
  plan.settings.eviction = eviction_of(settings.eviction());
  plan.settings.keep_alive = settings.keep_alive();
  plan.settings.swap_wait = settings.swap_wait();
  return plan;
}

bool same_pool(const Settings& a, const Settings& b) {
  constexpr std::array<std::string_view, 4> kNames = {"memory", "eviction", "keep-alive", "swap-wait"};
  return std::all_of(kNames.begin(), kNames.end(),
                     [&](std::string_view name) { return a.value(name).values == b.value(name).values; });
}

}  // namespace mlxd
