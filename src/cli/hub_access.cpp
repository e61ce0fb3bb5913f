#include <utility>

#include "cli/hub_commands.h"
#include "cli/settings.h"
#include "server/hub_settings.h"

namespace mlxd::cli {

Result<HubClient> open_hub(const StateFolder& state) {
  const HubPolicy policy = hub_policy_of(TRY(resolve_settings({}, state)));
  return HubClient(TRY(locate_hub()), {.policy = [policy] { return policy; }});
}

}  // namespace mlxd::cli
