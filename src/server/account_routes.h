// /api/v1/auth, /users and /keys. Functions that add routes; what they are given must outlive the routes'
// exchanges.
#pragma once

#include "server/accounts.h"
#include "server/manage_routes.h"

namespace mlxd {

void add_auth_routes(ManageRoutes& routes, Accounts& accounts);
void add_user_routes(ManageRoutes& routes, Accounts& accounts);
void add_key_routes(ManageRoutes& routes, Accounts& accounts);

}  // namespace mlxd
