#include "runtime/free_memory.h"

#include <algorithm>
#include <cstdint>
#include <string>

#if defined(__APPLE__)
#include <mach/mach.h>
#include <unistd.h>
#else
#include <fstream>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace mlxd {

#if defined(__APPLE__)

std::size_t free_memory_bytes() {
  vm_statistics64_data_t statistics{};
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  if (host_statistics64(mach_host_self(), HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&statistics),
                        &count) != KERN_SUCCESS)
    return 0;
  const std::size_t pages = statistics.free_count + statistics.inactive_count + statistics.purgeable_count;
  return pages * static_cast<std::size_t>(::getpagesize());
}

#else

namespace {

// The number in a file of one number; `absent` if there is none ("max", no such file).
std::uint64_t read_number(const char* path, std::uint64_t absent) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  return file >> number ? number : absent;
}

std::uint64_t available_by_meminfo() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::uint64_t kibibytes = 0;
  std::string rest;
  while (file >> name >> kibibytes && std::getline(file, rest)) {
    if (name == "MemAvailable:") return kibibytes * 1024;
  }
  return 0;
}

}  // namespace

std::size_t free_memory_bytes() {
  std::uint64_t available = available_by_meminfo();
  struct Group {
    const char* limit;
    const char* used;
  };
  for (const Group& group : {Group{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
                             Group{"/sys/fs/cgroup/memory/memory.limit_in_bytes",
                                   "/sys/fs/cgroup/memory/memory.usage_in_bytes"}}) {
    const std::uint64_t limit = read_number(group.limit, UINT64_MAX);
    const std::uint64_t used = read_number(group.used, 0);
    if (limit != UINT64_MAX) available = std::min(available, limit > used ? limit - used : 0);
  }
  return static_cast<std::size_t>(available);
}

#endif

void return_free_heap() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

}  // namespace mlxd
