#include "server/pool_settings.h"

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

bool take_changes(const Settings& before, const Settings& now, PoolPlan& plan) {
  const auto changed = [&](std::string_view name) {
    return before.value(name).values != now.value(name).values;
  };
  const bool memory = changed("memory");
  const bool eviction = changed("eviction");
  const bool keep_alive = changed("keep-alive");
  const bool swap_wait = changed("swap-wait");
  if (memory) set_budget(plan, memory_bytes_of(now.memory()));
  if (eviction) plan.settings.eviction = eviction_of(now.eviction());
  if (keep_alive) plan.settings.keep_alive = now.keep_alive();
  if (swap_wait) plan.settings.swap_wait = now.swap_wait();
  return memory || eviction || keep_alive || swap_wait;
}

}  // namespace mlxd
