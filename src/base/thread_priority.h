// How a thread is known to the system, and how it stands beside others where both have work. Functions.
#pragma once

namespace mlxd {

/// Lets all other threads go first from now on: the calling thread stands back, and so do those that it
/// starts later. Where the system does not allow it nothing changes.
void lower_thread_priority();

/// Names the calling thread, for tools that list threads; at most 15 bytes. The others have the program's
/// name.
void name_this_thread(const char* name);

}  // namespace mlxd
