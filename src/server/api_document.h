// GET /openapi.json: the access table as a document of OpenAPI.
#pragma once

#include <string>

#include "base/result.h"
#include "http/router.h"

namespace mlxd {

/// The whole document as JSON. Errors (kInvalidArgument): a row of the access table is malformed.
Result<std::string> api_document();

/// Answers have an ETag.
void add_document_route(http::Router& router, std::string document);

}  // namespace mlxd
