// The routes of the model pool, /api/v1/servers: its state, loading and unloading, pins, load progress as
// events, and its settings while it runs. Who may call them is decided before. Thread-safe; must outlive the
// routes' exchanges.
#pragma once

#include <functional>
#include <string>

#include "http/router.h"
#include "server/live_settings.h"
#include "server/model_shelf.h"
#include "server/text_workers.h"

namespace mlxd {

class PoolHandlers {
 public:
  PoolHandlers(ModelShelf& shelf, TextWorkers& workers, LiveSettings& settings)
      : shelf_(shelf), workers_(workers), settings_(settings) {}

  void add_routes(http::Router& router);

 private:
  using Handler = void (PoolHandlers::*)(const http::ExchangePtr&);
  /// Runs a handler on a text worker, or answers that there are too many.
  http::Handler on_worker(Handler handler);

  void show_pool(const http::ExchangePtr& exchange);
  void change_settings(const http::ExchangePtr& exchange);
  void load(const http::ExchangePtr& exchange);
  /// GET of a model, or of its events.
  void show(const http::ExchangePtr& exchange);
  /// POST of …/pin or …/unpin.
  void act(const http::ExchangePtr& exchange);
  void unload(const http::ExchangePtr& exchange);

  void show_model(const http::ExchangePtr& exchange, const std::string& name, int status);
  void stream_events(const http::ExchangePtr& exchange, const std::string& asked);

  ModelShelf& shelf_;
  TextWorkers& workers_;
  LiveSettings& settings_;
};

}  // namespace mlxd
