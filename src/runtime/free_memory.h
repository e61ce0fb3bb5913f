// How much memory this process could still use.
#pragma once

#include <cstddef>

namespace mlxd {

/// What the system can give without swapping, within the limit of the container if there is one. 0 if it does
/// not say.
std::size_t free_memory_bytes();

/// Gives memory back to the system that the allocator keeps after much has been freed.
void return_free_heap();

}  // namespace mlxd
