// HTTP requests and responses as values. No sockets, no threads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mlxd::http {

/// Fields in order of arrival; names compare without case.
class Headers {
 public:
  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  /// The first field of that name, or nullptr.
  const std::string* find(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

/// What a route's pattern captured, percent-decoded.
struct PathParameter {
  std::string name;
  std::string value;
};

struct Request {
  std::string method;
  std::string target;  // as sent: "/v1/models/a%2Fb?x=1"
  std::string path;    // "/v1/models/a%2Fb", still encoded
  std::string query;   // "x=1"
  Headers headers;
  std::string body;
  std::string id;                   // X-Request-ID: the client's if sane, else ours
  std::string remote_address = {};  // of the connection's other end: "127.0.0.1", "::1"; empty: unknown
  std::vector<PathParameter> parameters;

  /// Value of a captured parameter; empty if the pattern has none of that name.
  std::string_view parameter(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  Headers headers = {};  // further ones; Content-Type, Content-Length, Date, Connection are the server's
};

/// "Not Found" of 404; "Unknown" of others.
std::string_view reason_phrase(int status);

/// Text comparison without ASCII case.
bool equals_ignoring_case(std::string_view a, std::string_view b);

/// "%41b" → "Ab". False if an escape is malformed; `text` is then unspecified. '+' stays as it is.
bool percent_decode(std::string_view encoded, std::string& text);

/// Whether a client's X-Request-ID may be kept: 1 to 128 letters, digits, '-', '_', '.', ':'.
bool is_sane_request_id(std::string_view id);

}  // namespace mlxd::http
