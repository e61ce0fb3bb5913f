// GET /docs: a page that shows /openapi.json, and its script and style. Its files (docs_page/) are embedded
// whole and fetch nothing from elsewhere.
#pragma once

#include <vector>

#include "http/router.h"
#include "server/web_files.h"

namespace mlxd {

std::vector<WebFile> docs_page_files();
void add_docs_routes(http::Router& router);

}  // namespace mlxd
