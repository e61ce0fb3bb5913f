#include "text/schema_space.h"

namespace mlxd {

std::string with_bounded_space(std::string_view schema) {
  constexpr std::string_view kOption = R"("x-guidance": {"whitespace_pattern": "[ ]|\\r?\\n[ \\t]{0,40}"})";
  const std::size_t begin = schema.find('{');
  // What is no object is for the compiler to judge.
  if (begin == std::string_view::npos || schema.find_first_not_of(" \t\r\n") != begin)
    return std::string(schema);
  std::string bounded(schema.substr(0, begin + 1));
  bounded += kOption;
  const std::size_t next = schema.find_first_not_of(" \t\r\n", begin + 1);
  if (next != std::string_view::npos && schema[next] != '}') bounded += ", ";
  return bounded.append(schema.substr(begin + 1));
}

}  // namespace mlxd
