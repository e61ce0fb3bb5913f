// Test helper: speaks HTTP byte by byte, so that tests can send what no client library would. One thread.
#pragma once

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/blocking_socket.h"
#include "http/message.h"

namespace mlxd::http::testing {

inline constexpr std::chrono::milliseconds kPatience{120000};

struct RawResponse {
  int status = 0;
  std::string head;
  std::string body;  // chunks joined

  /// Value of a header field, or "(none)".
  std::string header(std::string_view name) const {
    std::string_view rest = head;
    while (!rest.empty()) {
      const std::size_t end = rest.find("\r\n");
      const std::string_view line = rest.substr(0, end);
      const std::size_t colon = line.find(": ");
      if (colon != std::string_view::npos && equals_ignoring_case(line.substr(0, colon), name))
        return std::string(line.substr(colon + 2));
      rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 2);
    }
    return "(none)";
  }
};

class RawClient {
 public:
  explicit RawClient(std::uint16_t port)
      : socket_(BlockingSocket::connect("127.0.0.1", port, kPatience).take_value()) {}

  /// False if the server has closed.
  bool send(std::string_view bytes) { return socket_.write_all(bytes, kPatience).ok(); }
  void shutdown_write() { socket_.shutdown_write(); }

  /// True once the server has closed without sending more.
  bool at_end() { return input_.empty() && !fill(); }

  /// Reads up to and including `mark`; what came, or less if the server closed.
  std::string read_until(std::string_view mark) {
    while (input_.find(mark) == std::string::npos) {
      if (!fill()) return take(input_.size());
    }
    return take(input_.find(mark) + mark.size());
  }

  /// Everything until the server closes.
  std::string read_all() {
    while (fill()) {
    }
    return take(input_.size());
  }

  /// The next response; status 0 if the server closed first. `head_only`: the request was HEAD.
  RawResponse read_response(bool head_only = false) {
    RawResponse response;
    response.head = read_until("\r\n\r\n");
    if (response.head.size() < 12) return response;
    response.status = std::atoi(response.head.c_str() + 9);
    if (head_only || response.status == 204 || response.status == 304 || response.status == 100)
      return response;
    if (response.header("transfer-encoding") == "chunked") {
      for (;;) {
        const std::size_t size = std::strtoul(read_until("\r\n").c_str(), nullptr, 16);
        const std::string chunk = read_exactly(size + 2);
        if (size == 0 || chunk.size() < size + 2) return response;
        response.body += chunk.substr(0, size);
      }
    }
    response.body = response.header("content-length") == "(none)"
                        ? read_all()
                        : read_exactly(std::strtoul(response.header("content-length").c_str(), nullptr, 10));
    return response;
  }

  /// The head of an answer whose body may have no end.
  RawResponse request_head(std::string_view method, std::string_view path, std::string_view headers) {
    send(message(method, path, {}, headers));
    return read_response(true);
  }
  RawResponse request(std::string_view method, std::string_view path, std::string_view body = {},
                      std::string_view headers = {}) {
    send(message(method, path, body, headers));
    return read_response(method == "HEAD");
  }

  static std::string message(std::string_view method, std::string_view path, std::string_view body = {},
                             std::string_view headers = {}) {
    std::string text = std::string(method) + " " + std::string(path) + " HTTP/1.1\r\n";
    if (headers.find("Host:") == std::string_view::npos) text += "Host: localhost\r\n";
    text += headers;
    if (!body.empty() || method == "POST") {
      if (headers.find("Content-Type:") == std::string_view::npos)
        text += "Content-Type: application/json\r\n";
      text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    }
    return text + "\r\n" + std::string(body);
  }

 private:
  bool fill() {
    const auto size = socket_.read_some(buffer_, kPatience);
    if (!size.ok() || *size == 0) return false;
    input_.append(buffer_.data(), *size);
    return true;
  }
  std::string read_exactly(std::size_t size) {
    while (input_.size() < size && fill()) {
    }
    return take(std::min(size, input_.size()));
  }
  std::string take(std::size_t size) {
    std::string taken = input_.substr(0, size);
    input_.erase(0, size);
    return taken;
  }

  BlockingSocket socket_;
  std::array<char, 16 * 1024> buffer_{};
  std::string input_;
};

}  // namespace mlxd::http::testing
