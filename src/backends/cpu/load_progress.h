// How far reading a model's weights is, for whoever waits for it and may stop it.
#pragma once

#include <functional>

#include "base/error.h"

namespace mlxd {

/// Called with 0 … 1; false: stop, nobody wants the model any more. May be empty.
using LoadProgress = std::function<bool(float)>;

inline Error load_stopped() { return {ErrorKind::kCancelled, "loading the model was stopped"}; }

}  // namespace mlxd
