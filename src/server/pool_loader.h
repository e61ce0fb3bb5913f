// How the server's pool loads model folders: with ModelHost, compute threads shared by all. Functions.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "runtime/model_host.h"
#include "runtime/model_pool.h"

namespace mlxd {

/// The name under which a folder is served: its own, or "org/name" of a snapshot in the Hugging Face cache
/// (models--org--name/snapshots/REVISION), whose folder is named by its revision.
std::string served_name(const std::filesystem::path& folder);

/// `load` and `estimate` of a pool whose models are made as `options` say. The compute threads are made here
/// if the options have none.
ModelPool::Options pool_of_hosts(ModelHostOptions options, const PoolSettings& settings);

/// The part of the machine's memory that models may have unless told otherwise.
std::size_t default_budget_bytes();

}  // namespace mlxd
