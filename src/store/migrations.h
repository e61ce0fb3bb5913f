// The steps from an empty database to today's schema. A step that has been released is never changed: a new
// one follows it, as a file NNNN_NAME.sql in store/migrations/ with the next free number.
#pragma once

#include <span>
#include <string_view>

namespace mlxd {

struct Migration {
  int number = 0;  // from 1
  std::string_view name;
  const char* sql = nullptr;  // statements, run in one transaction
};

/// By number.
std::span<const Migration> all_migrations();

}  // namespace mlxd
