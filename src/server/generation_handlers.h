// The routes that generate: /v1/chat/completions and /v1/completions, and the same at LOW priority below
// /v1/batch. A dialect is a decoder and an encoder
// here; everything between is the same for all. Thread-safe; must outlive the routes' exchanges.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "api/answer_encoder.h"
#include "api/generation_call.h"
#include "http/router.h"
#include "server/client_directory.h"
#include "server/metrics.h"
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
    bool strict = false;
    std::chrono::seconds request_timeout{0};  // 0: none
  };
  explicit GenerationHandlers(Options options) : options_(std::move(options)) {}

  void add_routes(http::Router& router);

 private:
  struct Dialect {
    std::function<Result<api::GenerationCall>(std::string_view body)> decode;
    std::function<std::unique_ptr<api::AnswerEncoder>(const api::GenerationCall& call, api::AnswerInfo info)>
        encoder;
    Priority priority = Priority::kNormal;
  };

  void handle(const http::ExchangePtr& exchange, const Dialect& dialect);
  void prepare(const http::ExchangePtr& exchange, const Dialect& dialect, TimePoint arrived);
  void start(const http::ExchangePtr& exchange, const Dialect& dialect, const api::GenerationCall& call,
             const AskedModel& asked, TimePoint arrived);
  void refuse(const http::ExchangePtr& exchange, const Error& error, const ServedModel* model = nullptr);
  void refuse_load(const http::ExchangePtr& exchange, const std::string& name, const Error& error);
  int retry_after_s(const ServedModel* model) const;

  Options options_;
  ClientDirectory clients_;
  std::vector<std::unique_ptr<Dialect>> dialects_;
};

}  // namespace mlxd
