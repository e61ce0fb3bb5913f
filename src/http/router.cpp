#include "http/router.h"

#include <utility>

namespace mlxd::http {
namespace {

std::string_view take_segment(std::string_view& path) {
  const std::size_t slash = path.find('/', 1);
  const std::string_view segment = path.substr(0, slash);
  path = slash == std::string_view::npos ? std::string_view() : path.substr(slash);
  return segment;
}

bool fits(std::string_view pattern, std::string_view path, std::vector<PathParameter>& parameters) {
  parameters.clear();
  while (!pattern.empty() && !path.empty()) {
    const std::string_view wanted = take_segment(pattern);
    if (wanted.size() > 2 && wanted[1] == '{') {
      std::string_view name = wanted.substr(2, wanted.size() - 3);
      const bool rest = name.ends_with("...");
      if (rest) name.remove_suffix(3);
      const std::string_view segment = rest ? std::exchange(path, {}) : take_segment(path);
      std::string value;
      if (segment.size() < 2 || !percent_decode(segment.substr(1), value)) return false;
      parameters.push_back({std::string(name), std::move(value)});
    } else if (wanted != take_segment(path)) {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}

void add_method(std::string& list, std::string_view method) {
  if (list.find(method) != std::string::npos) return;
  if (!list.empty()) list += ", ";
  list += method;
}

}  // namespace

void Router::add(std::string method, std::string pattern, Handler handler, RouteOptions options) {
  routes_.push_back({std::move(method), std::move(pattern), std::move(handler), std::move(options)});
}

void Router::wrap_handlers(const std::function<Handler(const Route& route)>& wrap) {
  for (Route& route : routes_) route.handler = wrap(route);
}

Router::Match Router::match(std::string_view method, std::string_view path) const {
  Match match;
  std::vector<PathParameter> parameters;
  for (const Route& route : routes_) {
    if (!fits(route.pattern, path, parameters)) continue;
    if (route.method == method || (method == "HEAD" && route.method == "GET")) {
      match.route = &route;
      match.parameters = std::move(parameters);
      match.allow.clear();
      return match;
    }
    add_method(match.allow, route.method);
    if (route.method == "GET") add_method(match.allow, "HEAD");
  }
  if (!match.allow.empty()) add_method(match.allow, "OPTIONS");
  return match;
}

}  // namespace mlxd::http
