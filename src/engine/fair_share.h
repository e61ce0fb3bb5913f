// How much each client has been served, so that those behind go first: the virtual token counter of Sheng et
// al., "Fairness in Serving Large Language Models" (OSDI 2024). A client that comes (back) starts no lower
// than the least served of those who have requests here, so that nobody saves up idle time; what it had
// beyond that it keeps, so that leaving between requests does not wipe it out. One owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "generation/generation_request.h"

namespace mlxd {

class FairShare {
 public:
  /// A request of the client comes and goes.
  void join(ClientId client);
  void leave(ClientId client);
  /// Tokens computed for a client that has requests here.
  void charge(ClientId client, std::int32_t prefilled, std::int32_t decoded);
  /// Weighted tokens; to be compared between clients that have requests here.
  std::uint64_t served(ClientId client) const;

 private:
  struct Account {
    std::uint64_t served = 0;
    std::int32_t num_requests = 0;
  };
  void forget_some();

  std::map<ClientId, Account> accounts_;
};

}  // namespace mlxd
