// One HTTP GET over libcurl: proxies by the environment, redirects, time-outs, a body taken as it comes. A
// token goes to the host it is meant for and to no other, also after a redirect. One owner; keeps its
// connection for the next request.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mlxd {

struct ResponseHead {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers = {};  // names in lower case
  /// Of a status that is no success: the beginning of the body.
  std::string error_body = {};

  /// The value, or empty.
  std::string_view header(std::string_view lower_case_name) const;
  /// Of Retry-After, in seconds or as a date.
  std::optional<std::chrono::seconds> retry_after() const;
};

struct TransferRequest {
  std::string url;
  std::string token = {};                              // bearer; empty: none
  std::optional<std::uint64_t> offset = std::nullopt;  // asks for the bytes from there on
  std::chrono::milliseconds connect_timeout{10000};
  /// Longest time without a byte.
  std::chrono::seconds silence_timeout{30};
  std::chrono::milliseconds total_timeout{0};  // 0: none
  std::function<bool()> cancelled = {};
  /// Of a success, before its body; an error ends the transfer with it. May be empty.
  std::function<Result<void>(const ResponseHead&)> on_head = {};
  /// Of a success, pieces of the body in order; an error ends the transfer with it.
  std::function<Result<void>(std::string_view)> on_body;
};

class HttpTransfer {
 public:
  /// Errors: kOutOfMemory.
  static Result<HttpTransfer> create();

  /// Any status is an answer. Errors: kUnavailable (no connection, or lost in mid-answer: worth another try),
  /// kTimeout (likewise), kCancelled, kInvalidArgument (the URL), kUnauthorized (a proxy's or a certificate's
  /// refusal), and those of the callbacks.
  Result<ResponseHead> get(const TransferRequest& request);

 private:
  struct Free {
    void operator()(void* handle) const;
  };
  explicit HttpTransfer(void* handle) : handle_(handle) {}
  std::unique_ptr<void, Free> handle_;
};

}  // namespace mlxd
