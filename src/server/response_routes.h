// Responses that are kept, by their ids: /v1/responses/{id} and what lies below.
#pragma once

#include "server/manage_routes.h"
#include "server/response_archive.h"

namespace mlxd {

/// `archive` must outlive the routes' exchanges.
void add_response_routes(ManageRoutes& routes, ResponseArchive& archive);

}  // namespace mlxd
