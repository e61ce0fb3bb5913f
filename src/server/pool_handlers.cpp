#include "server/pool_handlers.h"

#include <optional>
#include <string_view>
#include <utility>

#include "api/error_status.h"
#include "api/manage/pool_requests.h"
#include "http/sse.h"
#include "server/caller.h"
#include "server/pool_json.h"
#include "server/pool_loader.h"
#include "server/pool_settings.h"
#include "workbench/machine.h"

namespace mlxd {
namespace {

void answer(const http::ExchangePtr& exchange, int status, std::string body) {
  http::Response response;
  response.status = status;
  response.body = std::move(body);
  exchange->post([exchange, response = std::move(response)] { exchange->respond(response); });
}

void refuse(const http::ExchangePtr& exchange, const Error& error) {
  exchange->post([exchange, error] {
    const int status = api::status_of(error.kind);
    exchange->respond_error(status, error, status == 503 ? 1 : 0);
  });
}

// "org/name/pin" → "org/name", if that is how it ends.
std::optional<std::string> without_suffix(std::string_view path, std::string_view suffix) {
  if (path.size() <= suffix.size() || !path.ends_with(suffix)) return std::nullopt;
  return std::string(path.substr(0, path.size() - suffix.size()));
}

Error no_such_action(std::string_view path) {
  return not_found("there is no '" + std::string(path.substr(0, 200)) +
                   "' to post to: a model's id with /pin or /unpin after it");
}

}  // namespace

http::Handler PoolHandlers::on_worker(Handler handler) {
  return [this, handler](const http::ExchangePtr& exchange) {
    if (!workers_.try_post([this, handler, exchange] { (this->*handler)(exchange); }))
      exchange->respond_error(503, Error(ErrorKind::kOverloaded, "too many requests wait to be read"), 1);
  };
}

void PoolHandlers::add_routes(http::Router& router) {
  const http::RouteOptions json{.media_type = "application/json"};
  router.add("GET", "/api/v1/servers", on_worker(&PoolHandlers::show_pool));
  router.add("PATCH", "/api/v1/servers", on_worker(&PoolHandlers::change_settings), json);
  router.add("POST", "/api/v1/servers", on_worker(&PoolHandlers::load), json);
  router.add("GET", "/api/v1/servers/{model...}", on_worker(&PoolHandlers::show));
  router.add("POST", "/api/v1/servers/{model...}", on_worker(&PoolHandlers::act));
  router.add("DELETE", "/api/v1/servers/{model...}", on_worker(&PoolHandlers::unload));
}

void PoolHandlers::show_pool(const http::ExchangePtr& exchange) {
  answer(exchange, 200, encode_pool(shelf_.pool().status(), process_memory()));
}

void PoolHandlers::change_settings(const http::ExchangePtr& exchange) {
  const auto change = api::manage::decode_pool_change(exchange->request.body);
  if (!change.ok()) return refuse(exchange, change.error());
  const ModelPool::Status before = shelf_.pool().status();
  PoolPlan plan{.settings = before.settings, .follows_machine = before.follows_machine};
  if (change->memory) set_budget(plan, memory_bytes_of(*change->memory));
  if (!change->eviction.empty()) plan.settings.eviction = eviction_of(change->eviction);
  if (change->keep_alive) plan.settings.keep_alive = change->keep_alive;
  if (change->swap_wait) plan.settings.swap_wait = *change->swap_wait;
  // At once, also where a flag says otherwise, and then for the next start.
  if (const auto changed = shelf_.pool().set_settings(plan.settings, plan.follows_machine); !changed.ok())
    return refuse(exchange, changed.error());
  if (const auto kept = settings_.change(change->settings); !kept.ok()) return refuse(exchange, kept.error());
  show_pool(exchange);
}

void PoolHandlers::load(const http::ExchangePtr& exchange) {
  const auto wish = api::manage::decode_pool_load(exchange->request.body);
  if (!wish.ok()) return refuse(exchange, wish.error());
  const bool administers = caller_of(*exchange).administers();
  if (const auto admitted = shelf_.admit_path(wish->model, administers); !admitted.ok())
    return refuse(exchange, admitted.error());
  const auto source = shelf_.resolve(wish->model);
  if (!source) return refuse(exchange, shelf_.unknown(wish->model));
  if (const auto begun = shelf_.pool().preload(*source, wish->keep_alive, false); !begun.ok())
    return refuse(exchange, begun.error());
  if (wish->pin) {
    if (const auto pinned = shelf_.pool().set_pinned(*source, *wish->pin); !pinned.ok())
      return refuse(exchange, pinned.error());
  }
  const auto status = shelf_.pool().status(source->name);
  show_model(exchange, source->name, status && status->view.state == PoolPolicy::State::kReady ? 200 : 202);
}

void PoolHandlers::show_model(const http::ExchangePtr& exchange, const std::string& name, int status) {
  const auto source = shelf_.resolve(name);
  auto model = shelf_.pool().status(source ? source->name : name);
  if (!model) {
    // Known by name only: nobody has asked for it so far.
    if (!source) return refuse(exchange, shelf_.unknown(name));
    model.emplace();
    model->name = source->name;
    model->folder = source->folder;
  }
  answer(exchange, status, encode_pooled_model(*model));
}

void PoolHandlers::show(const http::ExchangePtr& exchange) {
  const std::string path(exchange->request.parameter("model"));
  if (const auto name = without_suffix(path, "/events"); name && !shelf_.resolve(path))
    stream_events(exchange, *name);
  else
    show_model(exchange, path, 200);
}

void PoolHandlers::stream_events(const http::ExchangePtr& exchange, const std::string& asked) {
  const auto source = shelf_.resolve(asked);
  if (!source) return refuse(exchange, shelf_.unknown(asked));
  const std::string& name = source->name;
  const std::shared_ptr<LoadFeed> feed = shelf_.pool().feed(name);
  exchange->post([exchange, name, feed] {
    http::Response head;
    head.content_type = http::kEventStreamType;
    head.headers.add("Cache-Control", "no-cache");
    head.headers.add("X-Accel-Buffering", "no");
    exchange->begin_stream(std::move(head), [] { return std::string(http::kSseKeepAlive); });
    if (feed == nullptr) {
      std::string out;
      http::append_event(out, encode_unloaded(name));
      exchange->send(out);
      exchange->end();
      return;
    }
    const std::uint64_t follower = feed->follow([exchange, name](const LoadEvent& event) {
      std::string out;
      http::append_event(out, encode_load_event(name, event));
      exchange->post([exchange, out, last = is_last(event.step)] {
        exchange->send(out);
        if (last) exchange->end();
      });
    });
    if (follower != 0) exchange->on_gone([feed, follower] { feed->stop(follower); });
  });
}

void PoolHandlers::act(const http::ExchangePtr& exchange) {
  const std::string path(exchange->request.parameter("model"));
  auto name = without_suffix(path, "/pin");
  const bool pins = name.has_value();
  if (!name) name = without_suffix(path, "/unpin");
  if (!name) return refuse(exchange, no_such_action(path));
  const auto source = shelf_.resolve(*name);
  if (!source) return refuse(exchange, shelf_.unknown(*name));
  if (const auto pinned = shelf_.pool().set_pinned(*source, pins); !pinned.ok())
    return refuse(exchange, pinned.error());
  show_model(exchange, source->name, 200);
}

void PoolHandlers::unload(const http::ExchangePtr& exchange) {
  const std::string asked(exchange->request.parameter("model"));
  const auto mode = api::manage::decode_unload_mode(exchange->request.query);
  if (!mode.ok()) return refuse(exchange, mode.error());
  // Its folder may be known no more, and it still loaded.
  const auto source = shelf_.resolve(asked);
  if (!source && !shelf_.pool().status(asked)) return refuse(exchange, shelf_.unknown(asked));
  const std::string name = source ? source->name : asked;
  shelf_.pool().unload(name, *mode ? ModelPool::UnloadMode::kCancel : ModelPool::UnloadMode::kWait,
                       [this, exchange, name](const Result<void>& done) {
                         if (!done.ok()) return refuse(exchange, done.error());
                         show_model(exchange, name, 200);
                       });
}

}  // namespace mlxd
