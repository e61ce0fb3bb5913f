#include "cli/server_client.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace mlxd::cli {

Result<http::Client> find_server(const Settings& settings) {
  std::string host = settings.host();
  // Where a server listens on all addresses, this machine's own is one.
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::" || host == "[::]") host = "::1";
  if (host.find(':') != std::string::npos && !host.starts_with('[')) host = "[" + host + "]";
  return http::Client::create("http://" + host + ":" + std::to_string(settings.port()));
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kPlain = "-._~/";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
        kPlain.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kDigits[byte >> 4U];
      encoded += kDigits[byte & 0xFU];
    }
  }
  return encoded;
}

Result<std::string> body_of(const Result<http::ClientResponse>& response, const http::Client& server) {
  const std::string address = server.host() + ":" + std::to_string(server.port());
  if (!response.ok()) {
    const Error& error = response.error();
    if (error.kind != ErrorKind::kUnavailable) return error;
    return Error(error.kind, "no server answers at " + address +
                                 ": start one with 'mlxd serve', or name its address with --host and --port");
  }
  if (response->status < 300) return response->body;
  boost::json::error_code code;
  const boost::json::value problem = boost::json::parse(response->body, code);
  const boost::json::value* detail = code ? nullptr : problem.find_pointer("/detail", code);
  if (detail != nullptr && detail->is_string())
    return Error(response->status == 404 ? ErrorKind::kNotFound : ErrorKind::kUnavailable,
                 std::string(detail->get_string()));
  return Error(ErrorKind::kUnavailable, "the server at " + address + " answered " +
                                            std::to_string(response->status) +
                                            ": is it mlxd, and as new as this program?");
}

}  // namespace mlxd::cli
