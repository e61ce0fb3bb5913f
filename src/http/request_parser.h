// Incremental parser of one HTTP/1 request over Boost.Beast, whose headers stay in the .cpp. One owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace mlxd::http {

class RequestParser {
 public:
  enum class State { kNeedMore, kHeader, kDone, kFailed };

  explicit RequestParser(std::size_t header_limit_bytes);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// Consumes from the front of non-empty `input`. Stops at kHeader once, before the body; go on with
  /// read_body.
  State put(std::string_view input, std::size_t& consumed);
  /// After kHeader: lets the body in, up to the limit. kDone if there is none.
  State read_body(std::size_t limit_bytes);

  /// After kFailed: the status to answer and why.
  int failure_status() const;
  const Error& failure() const;

  // After kHeader.
  bool has_body() const;
  std::optional<std::uint64_t> content_length() const;  // absent: chunked, or no body
  bool expects_continue() const;
  bool keep_alive() const;
  int version() const;  // 10 or 11
  /// The request without its body.
  Request take_head();
  /// After kDone.
  std::string take_body();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd::http
