#include "http/origin_policy.h"

#include <algorithm>
#include <utility>

#include "http/message.h"

namespace mlxd::http {
namespace {

std::string_view without_brackets(std::string_view host) {
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') return host.substr(1, host.size() - 2);
  return host;
}

// Exactly four decimal numbers, the first 127.
bool is_loopback_ipv4(std::string_view host) {
  if (!host.starts_with("127.")) return false;
  int dots = 0;
  int digits = 0;
  for (const char c : host) {
    if (c == '.') {
      if (digits == 0) return false;
      digits = 0;
      ++dots;
    } else if (c >= '0' && c <= '9' && digits < 3) {
      ++digits;
    } else {
      return false;
    }
  }
  return dots == 3 && digits > 0;
}

bool ends_with_ignoring_case(std::string_view text, std::string_view suffix) {
  return text.size() > suffix.size() &&
         equals_ignoring_case(text.substr(text.size() - suffix.size()), suffix);
}

}  // namespace

bool is_loopback_host(std::string_view host) {
  host = without_brackets(host);
  return equals_ignoring_case(host, "localhost") || ends_with_ignoring_case(host, ".localhost") ||
         host == "::1" || is_loopback_ipv4(host);
}

std::string_view host_without_port(std::string_view host_header) {
  if (host_header.starts_with('[')) {
    const std::size_t close = host_header.find(']');
    return close == std::string_view::npos ? host_header : host_header.substr(0, close + 1);
  }
  return host_header.substr(0, host_header.find(':'));
}

OriginPolicy::OriginPolicy(std::string bound_host, std::vector<std::string> allowed_origins)
    : bound_host_(std::move(bound_host)),
      loopback_(is_loopback_host(bound_host_)),
      allowed_origins_(std::move(allowed_origins)) {}

bool OriginPolicy::allows_host(std::string_view host_header) const {
  if (!loopback_) return true;
  const std::string_view host = host_without_port(host_header);
  return is_loopback_host(host) ||
         equals_ignoring_case(without_brackets(host), without_brackets(bound_host_));
}

bool OriginPolicy::allows_origin(std::string_view origin, std::string_view host_header) const {
  // Sandboxed frames, local files and some redirects: anybody's page, so that not even "*" means it.
  if (origin == "null") return false;
  for (const std::string& allowed : allowed_origins_) {
    if (allowed == "*" || equals_ignoring_case(allowed, origin)) return true;
  }
  const std::size_t scheme_end = origin.find("://");
  if (scheme_end == std::string_view::npos) return false;
  const std::string_view scheme = origin.substr(0, scheme_end);
  const std::string_view authority = origin.substr(scheme_end + 3);
  if (scheme == "http" || scheme == "https")
    return is_loopback_host(host_without_port(authority)) || equals_ignoring_case(authority, host_header);
  // Schemes that only installed applications can have as their origin.
  static constexpr std::string_view kApplicationSchemes[] = {"app", "tauri", "vscode-webview", "vscode-file"};
  return std::find(std::begin(kApplicationSchemes), std::end(kApplicationSchemes), scheme) !=
         std::end(kApplicationSchemes);
}

}  // namespace mlxd::http
