// /api/v1/profiles and /aliases. A function that adds routes; what it is given must outlive the routes'
// exchanges.
#pragma once

#include "server/manage_routes.h"
#include "server/model_names.h"

namespace mlxd {

void add_profile_routes(ManageRoutes& routes, ModelNames& names);

}  // namespace mlxd
