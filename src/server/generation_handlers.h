// The routes that generate, of every dialect. Thread-safe; must outlive the routes' exchanges.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "api/generation_call.h"
#include "http/router.h"
#include "server/client_directory.h"
#include "server/generation_dialect.h"
#include "server/metrics.h"
#include "server/model_names.h"
#include "server/model_shelf.h"
#include "server/stream_dispatcher.h"
#include "server/text_workers.h"

namespace mlxd {

class GenerationHandlers {
 public:
  struct Options {
    ModelShelf* shelf = nullptr;
    TextWorkers* workers = nullptr;
    Metrics* metrics = nullptr;
    StreamDispatchers* dispatchers = nullptr;
    const std::atomic<bool>* ready = nullptr;  // false: models are still loading
    const ModelNames* names = nullptr;
    bool strict = false;
    ResponseArchive* responses = nullptr;
    /// Whether fields that no table knows are let through; asked for each request. Empty: they are refused.
    std::function<bool()> ignores_unknown = {};
    std::chrono::seconds request_timeout{0};  // 0: none
    std::chrono::seconds batch_timeout{0};    // of requests at LOW priority by their route; 0: none
    std::function<void()> on_key_used = {};   // a key's request has ended; on I/O threads
  };
  explicit GenerationHandlers(Options options)
      : options_(std::move(options)),
        request_timeout_(options_.request_timeout),
        batch_timeout_(options_.batch_timeout) {}

  void add_routes(http::Router& router);
  /// Of requests that begin from now on. Any thread.
  void set_timeouts(std::chrono::seconds request, std::chrono::seconds batch) {
    request_timeout_ = request;
    batch_timeout_ = batch;
  }

 private:
  void handle(const http::ExchangePtr& exchange, const GenerationDialect& dialect);
  void prepare(const http::ExchangePtr& exchange, const GenerationDialect& dialect, TimePoint arrived);
  void start(const http::ExchangePtr& exchange, const GenerationDialect& dialect, api::GenerationCall call,
             AskedModel asked, const ModelNames::Meaning& meaning, TimePoint arrived);
  std::optional<TimePoint> deadline_of(const GenerationDialect& dialect, TimePoint arrived) const;
  /// Answers a call that generates nothing.
  void answer(const http::ExchangePtr& exchange, const GenerationDialect& dialect,
              const api::GenerationCall& call, const ServedModel& model);
  /// Whether a call that only unloads has something to unload. Errors: kConflict (it is to stay).
  Result<bool> is_to_unload(const std::string& name) const;
  static void answer_loaded(const http::ExchangePtr& exchange, const GenerationDialect& dialect,
                            const api::GenerationCall& call, api::AnswerInfo info);
  /// Counts what a key's request has used; nothing for others.
  std::function<void(const Usage&)> note_use(const http::Exchange& exchange) const;
  void refuse(const http::ExchangePtr& exchange, const Error& error, const ServedModel* model = nullptr);
  void refuse_load(const http::ExchangePtr& exchange, const std::string& name, const Error& error);
  int retry_after_s(const ServedModel* model) const;

  Options options_;
  std::atomic<std::chrono::seconds> request_timeout_;
  std::atomic<std::chrono::seconds> batch_timeout_;
  ClientDirectory clients_;
  std::vector<std::unique_ptr<GenerationDialect>> dialects_;
};

}  // namespace mlxd
