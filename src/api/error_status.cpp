#include "api/error_status.h"

namespace mlxd::api {

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return 400;
    case ErrorKind::kUnsupported:
      return 400;
    case ErrorKind::kTooLarge:
      return 400;  // a prompt; too large a body is refused with 413 before it is read
    case ErrorKind::kUnauthorized:
      return 401;
    case ErrorKind::kForbidden:
      return 403;
    case ErrorKind::kNotFound:
      return 404;
    case ErrorKind::kConflict:
      return 409;
    case ErrorKind::kCancelled:
      return 499;
    case ErrorKind::kOutOfMemory:
      return 503;
    case ErrorKind::kOverloaded:
      return 503;
    case ErrorKind::kUnavailable:
      return 503;
    case ErrorKind::kTimeout:
      return 504;
    case ErrorKind::kCorruptData:
      return 500;
    case ErrorKind::kIo:
      return 500;
    case ErrorKind::kInternal:
      return 500;
  }
  return 500;
}

}  // namespace mlxd::api
