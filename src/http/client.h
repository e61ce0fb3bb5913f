// A small blocking HTTP/1.1 client for talking to a running server: JSON in and out, and event streams. Plain
// http only; one connection a request. Thread-safe: calls share nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace mlxd::http {

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
};

class Client {
 public:
  struct Options {
    std::chrono::milliseconds connect_timeout{3000};
    /// Longest silence of the server while a request is under way.
    std::chrono::milliseconds read_timeout{15 * 60 * 1000};
    /// Longest time for a whole request, however much the server says meanwhile; 0: no limit.
    std::chrono::milliseconds total_timeout{0};
    std::size_t max_body_bytes = std::size_t{256} << 20;
    Headers headers;  // sent with every request
  };

  /// `base_url`: "http://127.0.0.1:10242"; the path, if any, is put before every request's. Errors:
  /// kInvalidArgument.
  static Result<Client> create(std::string_view base_url, Options options);
  static Result<Client> create(std::string_view base_url) { return create(base_url, Options()); }

  /// Any status is a response. Errors: kUnavailable (nobody listens), kTimeout, kIo, kCorruptData (no HTTP).
  Result<ClientResponse> get(std::string_view path) const;
  Result<ClientResponse> post(std::string_view path, std::string_view json) const;
  Result<ClientResponse> send(std::string_view method, std::string_view path, std::string_view body) const;

  /// As post; of a 200 answer of type text/event-stream each event's data goes to `on_event` as it comes and
  /// the body stays empty. If `on_event` returns false the connection is closed, which cancels the request.
  Result<ClientResponse> post_stream(std::string_view path, std::string_view json,
                                     const std::function<bool(std::string_view data)>& on_event) const;

  const std::string& host() const { return host_; }
  std::uint16_t port() const { return port_; }

 private:
  Result<ClientResponse> exchange(std::string_view method, std::string_view path, std::string_view body,
                                  const std::function<bool(std::string_view)>* on_event) const;

  Options options_;
  std::string host_;
  std::uint16_t port_ = 80;
  std::string prefix_;
};

}  // namespace mlxd::http
