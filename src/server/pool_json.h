// The pool's state as the management routes tell it. Pure functions.
#pragma once

#include <string>

#include "runtime/model_pool.h"
#include "server/metrics.h"

namespace mlxd {

/// {"budget": …, "memory": …, "waiting_requests": n, "servers": […]}
std::string encode_pool(const ModelPool::Status& status, const ProcessMemory& process);
/// One of its servers.
std::string encode_pooled_model(const ModelPool::ModelStatus& status);
/// {"model": …, "step": "reading", "fraction": 0.4, "elapsed_s": 0.2}
std::string encode_load_event(const std::string& model, const LoadEvent& event);
/// The same for a model that nobody has asked for.
std::string encode_unloaded(const std::string& model);

/// "unloaded", "waiting", "loading", "ready", "unloading" or "failed".
std::string state_of(const ModelPool::ModelStatus& status);

}  // namespace mlxd
