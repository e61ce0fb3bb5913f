// What a model folder that a job makes may be called. A function.
#pragma once

#include <string>

#include "base/result.h"

namespace mlxd {

/// Errors: kInvalidArgument saying what is possible.
Result<void> check_model_name(const std::string& name);

}  // namespace mlxd
