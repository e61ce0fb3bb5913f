// Adds management routes whose handlers are plain functions from a request to a JSON answer: run on a text
// worker, errors as application/problem+json. One owner; the workers must outlive the routes' exchanges.
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "http/router.h"
#include "server/caller.h"
#include "server/text_workers.h"

namespace mlxd {

struct ManageAnswer {
  int status = 200;
  boost::json::value body = {};  // null: none
  http::Headers headers = {};
  // Instead of JSON, where `content_type` is set.
  std::string content_type = {};
  std::string text = {};
};

class ManageRoutes {
 public:
  using Handler = std::function<Result<ManageAnswer>(const http::Request& request, const Caller& caller)>;
  /// As Handler; may set the seconds for Retry-After.
  using SlowHandler = std::function<Result<ManageAnswer>(const http::Request& request, const Caller& caller,
                                                         int& retry_after_s)>;

  /// Told what has changed, by the name of its collection: "users", "profiles". On any thread.
  using OnChange = std::function<void(std::string_view collection)>;

  ManageRoutes(http::Router& router, TextWorkers& workers, OnChange on_change = {})
      : router_(router), workers_(workers), on_change_(std::move(on_change)) {}

  /// Bodies are JSON, of at most `max_body_bytes`.
  void add(std::string method, std::string pattern, Handler handler, std::size_t max_body_bytes = 256 * 1024);
  /// For what takes a tenth of a second or more, such as hashing a password.
  void add_slow(std::string method, std::string pattern, SlowHandler handler,
                std::size_t max_body_bytes = 256 * 1024);

 private:
  void add(std::string method, std::string pattern, SlowHandler handler, std::size_t max_body_bytes,
           TextWorkers::Weight weight);

  http::Router& router_;
  TextWorkers& workers_;
  OnChange on_change_;
};

}  // namespace mlxd
