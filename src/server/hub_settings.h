// What the settings say of the hub. A function.
#pragma once

#include <chrono>

#include "catalog/hub_client.h"
#include "settings/settings.h"

namespace mlxd {

inline HubPolicy hub_policy_of(const Settings& settings) {
  return {.offline = settings.offline(), .silence_timeout = std::chrono::seconds(settings.hub_timeout_s())};
}

}  // namespace mlxd
