// How often the program has allocated, to show that something does not. Linking it replaces the global
// operator new. Thread-safe.
#pragma once

#include <cstdint>

namespace mlxd::testing {

/// False in sanitized builds, whose allocator is left alone.
bool counts_allocations();
std::uint64_t num_allocations();

}  // namespace mlxd::testing
