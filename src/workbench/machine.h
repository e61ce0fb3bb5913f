// Facts about this machine, asked of the operating system; zero or empty where it does not tell. Functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace mlxd {

std::string cpu_name();
/// Instruction sets with kernels in this build that this machine runs, slowest first, and the one in use.
std::vector<std::string> instruction_sets();
std::string chosen_instruction_set();
std::int32_t num_cores();
/// Physical memory, or the limit of the control group if that is lower.
std::uint64_t total_memory_bytes();
/// Memory that can be had without swapping.
std::uint64_t available_memory_bytes();
/// Linux's mode of transparent huge pages: "always", "madvise" or "never"; absent elsewhere.
std::optional<std::string> huge_pages_mode();
/// Free bytes of the file system that holds `path` or its nearest existing parent.
std::optional<std::uint64_t> free_disk_bytes(const std::filesystem::path& path);

}  // namespace mlxd
