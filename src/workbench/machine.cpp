#include "workbench/machine.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <string_view>
#include <thread>

#include "backends/cpu/isa.h"

#ifdef __APPLE__
#include <mach/mach.h>
#include <sys/sysctl.h>
#endif

namespace mlxd {
namespace {

#ifdef __APPLE__

std::string text_of(const char* name) {
  char buffer[256] = {};
  std::size_t size = sizeof buffer - 1;
  return sysctlbyname(name, buffer, &size, nullptr, 0) == 0 ? std::string(buffer) : std::string();
}

#else

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  return first == std::string_view::npos ? std::string_view()
                                         : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// The value behind "KEY<separator>" in a file of such lines.
std::string line_value(const char* file_name, std::string_view key, char separator) {
  std::ifstream file(file_name);
  for (std::string line; std::getline(file, line);) {
    const std::size_t at = line.find(separator);
    if (at != std::string::npos && trimmed(std::string_view(line).substr(0, at)) == key)
      return std::string(trimmed(std::string_view(line).substr(at + 1)));
  }
  return {};
}

std::uint64_t meminfo_bytes(std::string_view key) {
  const std::string value = line_value("/proc/meminfo", key, ':');  // "16316412 kB"
  std::uint64_t kilobytes = 0;
  std::from_chars(value.data(), value.data() + value.size(), kilobytes);
  return kilobytes * 1024;
}

std::uint64_t number_in(const char* file_name) {
  std::ifstream file(file_name);
  std::uint64_t value = 0;
  return file >> value ? value : 0;
}

#endif

}  // namespace

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Isa isa : available_isas()) names.emplace_back(to_string(isa));
  return names;
}

std::string chosen_instruction_set() { return std::string(to_string(default_isa())); }

std::int32_t num_cores() {
  return static_cast<std::int32_t>(std::max(1U, std::thread::hardware_concurrency()));
}

std::optional<std::uint64_t> free_disk_bytes(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path existing = std::filesystem::absolute(path, error);
  while (!existing.empty() && !std::filesystem::exists(existing, error) && existing.has_relative_path())
    existing = existing.parent_path();
  const auto space = std::filesystem::space(existing, error);
  if (error) return std::nullopt;
  return space.available;
}

#ifdef __APPLE__

std::string cpu_name() { return text_of("machdep.cpu.brand_string"); }

std::uint64_t total_memory_bytes() {
  std::uint64_t bytes = 0;
  std::size_t size = sizeof bytes;
  return sysctlbyname("hw.memsize", &bytes, &size, nullptr, 0) == 0 ? bytes : 0;
}

std::uint64_t available_memory_bytes() {
  vm_statistics64_data_t statistics{};
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  if (host_statistics64(mach_host_self(), HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&statistics),
                        &count) != KERN_SUCCESS)
    return 0;
  return (static_cast<std::uint64_t>(statistics.free_count) + statistics.inactive_count) *
         vm_kernel_page_size;
}

std::optional<std::string> huge_pages_mode() { return std::nullopt; }

#else

std::string cpu_name() { return line_value("/proc/cpuinfo", "model name", ':'); }

std::uint64_t total_memory_bytes() {
  const std::uint64_t physical = meminfo_bytes("MemTotal");
  const std::uint64_t limit = number_in("/sys/fs/cgroup/memory.max");  // "max": no limit
  return limit > 0 ? std::min(limit, physical) : physical;
}

std::uint64_t available_memory_bytes() {
  const std::uint64_t available = meminfo_bytes("MemAvailable");
  const std::uint64_t limit = number_in("/sys/fs/cgroup/memory.max");
  if (limit == 0) return available;
  const std::uint64_t used = number_in("/sys/fs/cgroup/memory.current");
  return std::min(available, limit > used ? limit - used : 0);
}

std::optional<std::string> huge_pages_mode() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");  // "always [madvise] never"
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  const std::size_t open = line.find('[');
  const std::size_t close = line.find(']');
  if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;
  return line.substr(open + 1, close - open - 1);
}

#endif

}  // namespace mlxd
