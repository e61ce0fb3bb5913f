// The one error type of the program: a closed kind that decides how callers react, and a message for people.
// Messages are lower case, name the thing and the value, and say what to do.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace mlxd {

enum class ErrorKind {
  kInvalidArgument,  // the caller asked for something malformed or out of range
  kNotFound,         // the named thing does not exist
  kUnauthorized,     // no or wrong credentials
  kForbidden,        // credentials do not allow it
  kConflict,         // the state does not allow it now
  kTooLarge,         // over a stated limit (body, prompt, file)
  kUnsupported,      // understood, but this program or device cannot do it
  kCorruptData,      // a file or message breaks its own format
  kOutOfMemory,      // the memory budget cannot hold it
  kOverloaded,       // a bounded queue is full; try again later
  kTimeout,          // a deadline passed
  kCancelled,        // the caller went away or asked to stop
  kUnavailable,      // a peer or device is gone
  kIo,               // the operating system refused a read, write or network call
  kInternal,         // our own fault
};

/// Stable lower-case name of a kind, e.g. "not_found"; for logs and tests.
std::string_view to_string(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;
  /// The request field at fault ("top_p", "messages[2].content"), or empty.
  std::string field;

  Error(ErrorKind k, std::string m, std::string f = {})
      : kind(k), message(std::move(m)), field(std::move(f)) {}
};

/// Short forms for the commonest kinds.
inline Error invalid_argument(std::string message, std::string field = {}) {
  return {ErrorKind::kInvalidArgument, std::move(message), std::move(field)};
}
inline Error not_found(std::string message) { return {ErrorKind::kNotFound, std::move(message)}; }
inline Error unsupported(std::string message) { return {ErrorKind::kUnsupported, std::move(message)}; }
inline Error corrupt_data(std::string message) { return {ErrorKind::kCorruptData, std::move(message)}; }

/// An I/O error from errno: "cannot open /x/y: no such file or directory".
Error io_error(std::string_view what, int errno_value);

}  // namespace mlxd
