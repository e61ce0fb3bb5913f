// Test helper: one who talks to the management API as a page, a program or the command line would. One
// thread.
#pragma once

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "http/testing/raw_client.h"

namespace mlxd::testing {

struct ManageReply {
  int status = 0;
  std::string head;
  boost::json::value body;
  std::string raw;

  std::string header(std::string_view name) const {
    return http::testing::RawResponse{.status = status, .head = head, .body = {}}.header(name);
  }
  /// Text at a JSON pointer, other values as JSON writes them; "(absent)".
  std::string at(std::string_view pointer) const {
    boost::json::error_code code;
    const auto* found = body.find_pointer(boost::json::string_view(pointer.data(), pointer.size()), code);
    if (found == nullptr) return "(absent)";
    return found->is_string() ? std::string(found->get_string()) : boost::json::serialize(*found);
  }
};

class ManageCaller {
 public:
  explicit ManageCaller(std::uint16_t port, std::string headers = {})
      : port_(port), headers_(std::move(headers)) {}
  static ManageCaller bearer(std::uint16_t port, const std::string& token) {
    return ManageCaller(port, "Authorization: Bearer " + token + "\r\n");
  }

  ManageReply call(std::string_view method, std::string_view path, std::string_view body = {},
                   std::string_view more_headers = {}) const {
    const auto response =
        http::testing::RawClient(port_).request(method, path, body, headers_ + std::string(more_headers));
    ManageReply reply{
        .status = response.status, .head = response.head, .body = nullptr, .raw = response.body};
    boost::json::error_code code;
    if (!response.body.empty()) reply.body = boost::json::parse(response.body, code);
    return reply;
  }
  ManageReply get(std::string_view path) const { return call("GET", path); }
  /// Of a stream of events.
  ManageReply get_head(std::string_view path) const {
    const auto response = http::testing::RawClient(port_).request_head("GET", path, headers_);
    return {.status = response.status, .head = response.head, .body = nullptr, .raw = {}};
  }

  const std::string& headers() const { return headers_; }

 private:
  std::uint16_t port_;
  std::string headers_;
};

}  // namespace mlxd::testing
