#include "workbench/model_name.h"

#include <algorithm>

namespace mlxd {
namespace {

constexpr std::size_t kMaxNameBytes = 128;

}  // namespace

Result<void> check_model_name(const std::string& name) {
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7F && c != '/' && c != '\\' && c != ':';
  });
  if (!name.empty() && name.size() <= kMaxNameBytes && name.front() != '.' && name.front() != '-' &&
      printable)
    return {};
  return invalid_argument(
      "\"" + name.substr(0, kMaxNameBytes) +
          "\" cannot be a model's name: give another of up to 128 letters, digits, '-', '_' "
          "and '.'",
      "name");
}

}  // namespace mlxd
