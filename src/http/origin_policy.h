// Keeps web pages of other origins away from a local server: DNS rebinding (Host) and cross-site requests
// (Origin). Immutable after creation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mlxd::http {

class OriginPolicy {
 public:
  /// `bound_host`: the address or name given to listen on. `allowed_origins`: "https://chat.example.org", or
  /// "*".
  OriginPolicy(std::string bound_host, std::vector<std::string> allowed_origins);

  /// On a loopback server the Host must be a loopback name or address or the bound host, whatever the port: a
  /// page that rebinds its own name to 127.0.0.1 still sends its own name. Elsewhere every Host passes.
  bool allows_host(std::string_view host_header) const;

  /// Pages served from this very server, from loopback, from listed origins, and desktop apps' own schemes;
  /// never "null".
  bool allows_origin(std::string_view origin, std::string_view host_header) const;

 private:
  std::string bound_host_;
  bool loopback_;
  std::vector<std::string> allowed_origins_;
};

/// "localhost", "x.localhost", 127.0.0.0/8, ::1; brackets around IPv6 are fine.
bool is_loopback_host(std::string_view host);

/// "example.org:80" → "example.org"; "[::1]:80" → "[::1]".
std::string_view host_without_port(std::string_view host_header);

}  // namespace mlxd::http
