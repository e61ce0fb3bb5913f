// /api/v1/settings and /system. Functions that add routes; what they are given must outlive the routes'
// exchanges.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/field_shape.h"
#include "security/secret_box.h"
#include "server/live_settings.h"
#include "server/manage_routes.h"
#include "store/setting_store.h"

namespace mlxd {

/// The settings as fields of a request that changes them.
std::vector<api::FieldInfo> setting_field_infos();

void add_setting_routes(ManageRoutes& routes, LiveSettings& settings, SettingStore store, SecretBox& box,
                        const Clock& clock);

/// What /api/v1/system tells.
struct SystemFacts {
  std::int64_t started_at = 0;  // seconds since 1970
  std::int64_t uptime_s = 0;
  std::size_t resident_bytes = 0;
  std::size_t open_connections = 0;
  std::vector<std::string> loaded_models;
  std::string state_folder;  // for administrators; empty: in memory
};
void add_system_route(ManageRoutes& routes, std::function<SystemFacts()> facts);

}  // namespace mlxd
