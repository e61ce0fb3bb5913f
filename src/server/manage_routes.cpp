#include "server/manage_routes.h"

#include <array>
#include <boost/json/serialize.hpp>
#include <exception>
#include <utility>

#include "api/error_status.h"

namespace mlxd {
namespace {

// What a route changes that all may hear of; what is one account's own is not told.
std::string_view changed_collection(std::string_view method, std::string_view pattern) {
  if (method == "GET") return {};
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kShared = {
      {{"/api/v1/users", "users"},
       {"/api/v1/auth/register", "users"},
       {"/api/v1/profiles", "profiles"},
       {"/api/v1/aliases", "profiles"},
       {"/api/v1/settings", "settings"}}};
  for (const auto& [path, collection] : kShared) {
    if (pattern.starts_with(path)) return collection;
  }
  return {};
}

}  // namespace

void ManageRoutes::add(std::string method, std::string pattern, Handler handler, std::size_t max_body_bytes) {
  add(
      std::move(method), std::move(pattern),
      [handler = std::move(handler)](const http::Request& request, const Caller& caller, int&) {
        return handler(request, caller);
      },
      max_body_bytes, TextWorkers::Weight::kLight);
}

void ManageRoutes::add_slow(std::string method, std::string pattern, SlowHandler handler,
                            std::size_t max_body_bytes) {
  add(std::move(method), std::move(pattern), std::move(handler), max_body_bytes, TextWorkers::Weight::kHeavy);
}

void ManageRoutes::add(std::string method, std::string pattern, SlowHandler handler,
                       std::size_t max_body_bytes, TextWorkers::Weight weight) {
  const std::string_view collection = changed_collection(method, pattern);
  const auto changed = collection.empty() ? OnChange() : on_change_;
  const auto serve = [&workers = workers_, handler = std::move(handler), weight, collection,
                      changed](const http::ExchangePtr& exchange) {
    const auto job = [handler, exchange, collection, changed] {
      int retry_after_s = 0;
      Result<ManageAnswer> answer = Error(ErrorKind::kInternal, "no answer was made");
      try {
        answer = handler(exchange->request, caller_of(*exchange), retry_after_s);
      } catch (const std::exception& failure) {
        answer = Error(ErrorKind::kInternal, std::string("the request failed: ") + failure.what());
      }
      if (!answer.ok()) {
        exchange->post([exchange, error = answer.error(), retry_after_s] {
          // It says when to come back: the caller is over a limit of its own.
          const int status = retry_after_s > 0 ? 429 : api::status_of(error.kind);
          exchange->respond_error(status, error, retry_after_s);
        });
        return;
      }
      if (changed) changed(collection);
      http::Response response{.status = answer->status};
      response.headers = std::move(answer->headers);
      response.headers.add("Cache-Control", "no-store");
      if (!answer->content_type.empty()) {
        response.content_type = std::move(answer->content_type);
        response.body = std::move(answer->text);
      } else if (answer->body.is_null()) {
        response.content_type = "";
      } else {
        response.body = boost::json::serialize(answer->body);
      }
      exchange->post(
          [exchange, response = std::move(response)]() mutable { exchange->respond(std::move(response)); });
    };
    if (!workers.try_post(job, weight))
      exchange->respond_error(503, Error(ErrorKind::kOverloaded, "too many requests wait to be read"), 1);
  };
  router_.add(std::move(method), std::move(pattern), serve,
              {.media_type = "application/json", .max_body_bytes = max_body_bytes});
}

}  // namespace mlxd
