// How threads stand beside others where both have work. Functions.
#pragma once

namespace mlxd {

/// Lets all other threads go first from now on: the calling thread stands back, and so do those that it
/// starts later. Where the system does not allow it nothing changes.
void lower_thread_priority();

}  // namespace mlxd
