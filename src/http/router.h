// From method and path to a handler. Built once, then read by all I/O threads.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "http/exchange.h"
#include "http/message.h"

namespace mlxd::http {

using Handler = std::function<void(ExchangePtr)>;

struct RouteOptions {
  /// Media type that a body must have ("application/json"; "application/x+json" passes too); empty: any.
  std::string media_type = {};
  /// Largest body; 0: the server's limit.
  std::size_t max_body_bytes = 0;
};

struct Route {
  std::string method;
  std::string pattern;
  Handler handler;
  RouteOptions options;
};

class Router {
 public:
  /// Pattern: "/v1/models", "/v1/things/{id}" (one segment), "/v1/models/{id...}" (the rest, slashes
  /// included, not empty). HEAD is served by GET's handler. The first that fits wins.
  void add(std::string method, std::string pattern, Handler handler, RouteOptions options = {});

  /// Puts a gate before every handler added so far: each is replaced by what `wrap` makes of its route.
  void wrap_handlers(const std::function<Handler(const Route& route)>& wrap);
  const std::vector<Route>& routes() const { return routes_; }

  struct Match {
    const Route* route = nullptr;  // nullptr: nothing fits
    std::vector<PathParameter> parameters;
    /// Methods that the path knows, if the method was the only misfit: "GET, HEAD".
    std::string allow;
  };
  Match match(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace mlxd::http
