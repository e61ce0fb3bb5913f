#include "engine/fair_share.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace mlxd {
namespace {

// A decoded token costs a pass over the weights that prefilled ones share; the paper's weights.
constexpr std::uint64_t kPrefillWeight = 1;
constexpr std::uint64_t kDecodeWeight = 2;
// Clients without requests that are remembered.
constexpr std::size_t kMostRemembered = 1024;

}  // namespace

void FairShare::join(ClientId client) {
  Account& account = accounts_[client];
  if (account.num_requests++ > 0) return;
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  for (const auto& [id, other] : accounts_) {
    if (id != client && other.num_requests > 0) least = std::min(least, other.served);
  }
  if (least != std::numeric_limits<std::uint64_t>::max()) account.served = std::max(account.served, least);
}

void FairShare::leave(ClientId client) {
  const auto found = accounts_.find(client);
  CHECK(found != accounts_.end() && found->second.num_requests > 0);
  if (--found->second.num_requests == 0 && accounts_.size() > kMostRemembered) forget_some();
}

void FairShare::charge(ClientId client, std::int32_t prefilled, std::int32_t decoded) {
  accounts_[client].served += kPrefillWeight * static_cast<std::uint64_t>(prefilled) +
                              kDecodeWeight * static_cast<std::uint64_t>(decoded);
}

std::uint64_t FairShare::served(ClientId client) const {
  const auto found = accounts_.find(client);
  return found == accounts_.end() ? 0 : found->second.served;
}

// Whoever was served least loses least by being forgotten.
void FairShare::forget_some() {
  auto least = accounts_.end();
  for (auto entry = accounts_.begin(); entry != accounts_.end(); ++entry) {
    if (entry->second.num_requests == 0 &&
        (least == accounts_.end() || entry->second.served < least->second.served))
      least = entry;
  }
  if (least != accounts_.end()) accounts_.erase(least);
}

}  // namespace mlxd
