// CHECK: an invariant of our own code. No client input and no file may ever reach one.
#pragma once

namespace mlxd::detail {
[[noreturn]] void check_failed(const char* file, int line, const char* condition);
}  // namespace mlxd::detail

#define CHECK(condition)                                            \
  do {                                                              \
    if (!(condition)) [[unlikely]]                                  \
      ::mlxd::detail::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)
