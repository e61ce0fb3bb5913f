#include "server/generation_handlers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

#include "api/error_status.h"
#include "api/openai/chat_answer.h"
#include "api/openai/chat_request.h"
#include "api/openai/completion_answer.h"
#include "api/openai/completion_request.h"
#include "base/clock.h"
#include "http/request_id.h"
#include "server/generation_run.h"

namespace mlxd {
namespace {

constexpr std::size_t kAnswerIdSize = 24;
constexpr int kMaxRetryAfterSeconds = 3600;
// Reading a megabyte of JSON and making tokens of it takes up to a second.
constexpr std::size_t kHeavyBodyBytes = 256 * 1024;

std::int32_t total_choices(const api::GenerationCall& call) {
  const std::size_t prompts = call.conversation ? 1 : call.prompts.size();
  return static_cast<std::int32_t>(prompts) * call.num_choices;
}

bool asks_to_explain_cache(const http::Request& request) {
  const std::string* value = request.headers.find("X-MLXD-Explain-Cache");
  return value != nullptr && *value == "1";
}

// The same model on the same backend answers the same; a change of either shows (FNV-1a).
std::string fingerprint(const AskedModel& asked) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const std::string& part : {asked.name(), asked.model->engine->backend_info().name}) {
    for (const char c : part) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "fp_%010llx",
                static_cast<unsigned long long>(hash & 0xFFFFFFFFFFU));
  return text.data();
}

}  // namespace

void GenerationHandlers::add_routes(http::Router& router) {
  namespace openai = api::openai;
  const bool strict = options_.strict;
  const auto add_one = [&](const std::string& path, Dialect dialect) {
    const Dialect& kept = *dialects_.emplace_back(std::make_unique<Dialect>(std::move(dialect)));
    router.add("POST", path, [this, &kept](const http::ExchangePtr& exchange) { handle(exchange, kept); },
               {.media_type = "application/json"});
  };
  const auto add = [&](const std::string& path, Dialect dialect) {
    add_one("/v1" + path, dialect);
    dialect.priority = Priority::kLow;
    add_one("/v1/batch" + path, std::move(dialect));
  };
  add("/chat/completions",
      {.decode = [strict](std::string_view body) { return openai::decode_chat_request(body, strict); },
       .encoder = [](const api::GenerationCall& call,
                     api::AnswerInfo info) -> std::unique_ptr<api::AnswerEncoder> {
         return std::make_unique<openai::ChatAnswerEncoder>(
             openai::ChatAnswerEncoder::Options{.info = std::move(info),
                                                .num_choices = total_choices(call),
                                                .logprobs = call.sampling.logprobs,
                                                .include_usage = call.include_usage});
       }});
  add("/completions",
      {.decode = [](std::string_view body) { return openai::decode_completion_request(body); },
       .encoder = [](const api::GenerationCall& call,
                     api::AnswerInfo info) -> std::unique_ptr<api::AnswerEncoder> {
         return std::make_unique<openai::CompletionAnswerEncoder>(
             openai::CompletionAnswerEncoder::Options{.info = std::move(info),
                                                      .num_choices = total_choices(call),
                                                      .logprobs = call.sampling.logprobs,
                                                      .include_usage = call.include_usage});
       }});
}

void GenerationHandlers::handle(const http::ExchangePtr& exchange, const Dialect& dialect) {
  const TimePoint arrived = Clock::real().now();
  if (!*options_.ready) {
    exchange->respond_error(503, Error(ErrorKind::kUnavailable, "the server is still loading its models"), 1);
    return;
  }
  const bool queued = options_.workers->try_post(
      [this, exchange, &dialect, arrived] { prepare(exchange, dialect, arrived); },
      exchange->request.body.size() > kHeavyBodyBytes ? TextWorkers::Weight::kHeavy
                                                      : TextWorkers::Weight::kLight);
  if (!queued)
    exchange->respond_error(503, Error(ErrorKind::kOverloaded, "too many requests wait to be read"), 1);
}

void GenerationHandlers::prepare(const http::ExchangePtr& exchange, const Dialect& dialect,
                                 TimePoint arrived) {
  auto decoded = dialect.decode(exchange->request.body);
  if (!decoded.ok()) {
    refuse(exchange, decoded.error());
    return;
  }
  const std::string name = decoded->model;
  const std::string adapter = decoded->adapter;
  ModelPool::AcquireOptions asking;
  asking.keep_alive = decoded->keep_alive;
  if (options_.request_timeout.count() > 0) asking.deadline = arrived + options_.request_timeout;
  options_.shelf->find(name, adapter, asking,
                       [this, name, exchange, &dialect, arrived,
                        call = decoded.take_value()](const Result<AskedModel>& asked) {
                         if (asked.ok())
                           start(exchange, dialect, call, *asked, arrived);
                         else
                           refuse_load(exchange, name, asked.error());
                       });
}

void GenerationHandlers::start(const http::ExchangePtr& exchange, const Dialect& dialect,
                               const api::GenerationCall& call, const AskedModel& asked, TimePoint arrived) {
  const ServedModelPtr& model = asked.model;
  auto encoder = dialect.encoder(call, {.id = http::random_id(kAnswerIdSize),
                                        .created = Clock::real().wall_seconds(),
                                        .model = asked.name(),
                                        .fingerprint = fingerprint(asked)});
  std::optional<TimePoint> deadline;
  if (options_.request_timeout.count() > 0) deadline = arrived + options_.request_timeout;
  auto run = std::make_shared<GenerationRun>(
      GenerationRun::Options{.exchange = exchange,
                             .model = model,
                             .adapter = asked.adapter,
                             .encoder = std::move(encoder),
                             .dispatcher = &options_.dispatchers->of(model->name, exchange->io_thread()),
                             .metrics = options_.metrics,
                             .arrived = arrived,
                             .priority = dialect.priority,
                             .client = clients_.of(exchange->request.headers),
                             .deadline = deadline,
                             .explain_cache = asks_to_explain_cache(exchange->request)});
  const auto submitted = run->submit(call);
  if (!submitted.ok()) {
    refuse(exchange, submitted.error(), model.get());
    return;
  }
  exchange->post([run = std::move(run)] { run->begin(); });
}

void GenerationHandlers::refuse(const http::ExchangePtr& exchange, const Error& error,
                                const ServedModel* model) {
  const int status = api::status_of(error.kind);
  const int retry_after = status == 503 ? retry_after_s(model) : 0;
  exchange->post(
      [exchange, error, status, retry_after] { exchange->respond_error(status, error, retry_after); });
}

// The model could not be had; if too many wait for models, the swap after this one may have room.
void GenerationHandlers::refuse_load(const http::ExchangePtr& exchange, const std::string& name,
                                     const Error& error) {
  const int status = api::status_of(error.kind);
  int retry_after = status == 503 ? 1 : 0;
  if (error.kind == ErrorKind::kOverloaded)
    retry_after = std::clamp(static_cast<int>(std::ceil(options_.shelf->pool().expected_wait_seconds(name))),
                             1, kMaxRetryAfterSeconds);
  exchange->post(
      [exchange, error, status, retry_after] { exchange->respond_error(status, error, retry_after); });
}

// How long until those who wait now will have started, at the pace of late requests.
int GenerationHandlers::retry_after_s(const ServedModel* model) const {
  const double seconds = model == nullptr ? 1.0 : model->engine->stats().expected_wait_seconds;
  return std::clamp(static_cast<int>(std::ceil(seconds)), 1, kMaxRetryAfterSeconds);
}

}  // namespace mlxd
