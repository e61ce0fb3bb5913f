#include "server/ignored_fields.h"

#include <cstddef>

namespace mlxd {

std::string as_header(const std::vector<std::string>& fields) {
  constexpr std::size_t kMostBytes = 2000;
  std::string text;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (text.size() + fields[i].size() > kMostBytes)
      return text + ", and " + std::to_string(fields.size() - i) + " more";
    text += (i > 0 ? ", " : "") + fields[i];
  }
  return text;
}

void add_ignored(const std::string& fields, http::Response& response) {
  if (!fields.empty()) response.headers.add("x-mlxd-ignored", fields);
}

}  // namespace mlxd
