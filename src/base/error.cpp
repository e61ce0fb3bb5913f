#include "base/error.h"

#include <system_error>

namespace mlxd {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return "invalid_argument";
    case ErrorKind::kNotFound:
      return "not_found";
    case ErrorKind::kUnauthorized:
      return "unauthorized";
    case ErrorKind::kForbidden:
      return "forbidden";
    case ErrorKind::kConflict:
      return "conflict";
    case ErrorKind::kTooLarge:
      return "too_large";
    case ErrorKind::kUnsupported:
      return "unsupported";
    case ErrorKind::kCorruptData:
      return "corrupt_data";
    case ErrorKind::kOutOfMemory:
      return "out_of_memory";
    case ErrorKind::kOverloaded:
      return "overloaded";
    case ErrorKind::kTimeout:
      return "timeout";
    case ErrorKind::kCancelled:
      return "cancelled";
    case ErrorKind::kUnavailable:
      return "unavailable";
    case ErrorKind::kIo:
      return "io";
    case ErrorKind::kInternal:
      return "internal";
  }
  return "internal";
}

Error io_error(std::string_view what, int errno_value) {
  return {errno_value == ENOENT ? ErrorKind::kNotFound : ErrorKind::kIo,
          std::string(what) + ": " + std::generic_category().message(errno_value)};
}

}  // namespace mlxd
