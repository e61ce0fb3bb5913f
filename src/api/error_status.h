// The one switch from an error's kind to an HTTP status. Dialects that differ say so in their own body
// function.
#pragma once

#include "base/error.h"

namespace mlxd::api {

int status_of(ErrorKind kind);

}  // namespace mlxd::api
