// Server-sent events as bytes (WHATWG HTML, section 9.2).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mlxd::http {

inline constexpr std::string_view kEventStreamType = "text/event-stream";
inline constexpr std::string_view kSseKeepAlive = ": keep-alive\n\n";

/// Appends "data: DATA\n\n". `data` must have no line break, which JSON without indentation never has.
inline void append_event(std::string& out, std::string_view data) {
  out += "data: ";
  out += data;
  out += "\n\n";
}

/// Splits a stream of bytes into events' data. One owner.
class SseParser {
 public:
  /// Adds bytes as they came.
  void push(std::string_view bytes) { buffer_ += bytes; }
  /// Moves out the next complete event's data (lines joined by '\n'; comments and other fields are skipped).
  bool next(std::string& data);
  std::size_t buffered_bytes() const { return buffer_.size() - offset_; }

 private:
  std::string buffer_;
  std::size_t offset_ = 0;
  std::string data_;
  bool has_data_ = false;
};

}  // namespace mlxd::http
