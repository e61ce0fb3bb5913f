// How much memory the process holds, as each system tells it.
#include "server/metrics.h"

#if defined(__APPLE__)
#include <mach/mach.h>
#else
#include <fstream>
#include <string>
#endif

namespace mlxd {

#if defined(__APPLE__)

ProcessMemory process_memory() {
  task_vm_info_data_t info{};
  mach_msg_type_number_t count = TASK_VM_INFO_COUNT;
  if (task_info(mach_task_self(), TASK_VM_INFO, reinterpret_cast<task_info_t>(&info), &count) != KERN_SUCCESS)
    return {};
  return {.resident_bytes = info.resident_size,
          .anonymous_bytes = info.internal + info.compressed,
          .mapped_file_bytes = info.external,
          .locked_bytes = 0};
}

#else

ProcessMemory process_memory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  std::string name;
  std::string rest;
  while (status >> name) {
    std::size_t* const field = name == "VmRSS:"     ? &memory.resident_bytes
                               : name == "RssAnon:" ? &memory.anonymous_bytes
                               : name == "RssFile:" ? &memory.mapped_file_bytes
                               : name == "VmLck:"   ? &memory.locked_bytes
                                                    : nullptr;
    std::size_t kibibytes = 0;
    if (field != nullptr && status >> kibibytes) *field = kibibytes * 1024;
    std::getline(status, rest);
  }
  return memory;
}

#endif

}  // namespace mlxd
