#include "server/generation_handlers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

#include "api/error_status.h"
#include "api/openai/profile_defaults.h"
#include "base/clock.h"
#include "base/fnv_hash.h"
#include "http/request_id.h"
#include "server/access_gate.h"
#include "server/error_envelopes.h"
#include "server/generation_run.h"
#include "server/ignored_fields.h"
#include "server/reasoning_fit.h"

namespace mlxd {
namespace {

constexpr std::size_t kAnswerIdSize = 24;
constexpr int kMaxRetryAfterSeconds = 3600;
// Reading a megabyte of JSON and making tokens of it takes up to a second.
constexpr std::size_t kHeavyBodyBytes = 256 * 1024;

bool asks_to_explain_cache(const http::Request& request) {
  const std::string* value = request.headers.find("X-MLXD-Explain-Cache");
  return value != nullptr && *value == "1";
}

// The same model on the same backend answers the same; a change of either shows.
std::string fingerprint(const AskedModel& asked) {
  const std::uint64_t hash = fnv_hash(asked.model->engine->backend_info().name, fnv_hash(asked.name()));
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "fp_%010llx",
                static_cast<unsigned long long>(hash & 0xFFFFFFFFFFU));
  return text.data();
}

}  // namespace

void GenerationHandlers::add_routes(http::Router& router) {
  for (GenerationDialect& each :
       generation_dialects({.strict = options_.strict, .responses = options_.responses})) {
    const GenerationDialect& dialect =
        *dialects_.emplace_back(std::make_unique<GenerationDialect>(std::move(each)));
    router.add("POST", dialect.path,
               [this, &dialect](const http::ExchangePtr& exchange) { handle(exchange, dialect); },
               {.media_type = dialect.media_type});
  }
}

void GenerationHandlers::handle(const http::ExchangePtr& exchange, const GenerationDialect& dialect) {
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

void GenerationHandlers::prepare(const http::ExchangePtr& exchange, const GenerationDialect& dialect,
                                 TimePoint arrived) {
  const std::string& body = exchange->request.body;
  // Read twice only where a name may stand for something else.
  ModelNames::Meaning meaning;
  if (options_.names != nullptr && !options_.names->empty())
    meaning = options_.names->resolve(api::openai::peek_model(body));
  const auto unknown = options_.ignores_unknown && options_.ignores_unknown() ? api::UnknownFields::kWarn
                                                                              : api::UnknownFields::kRefuse;
  auto decoded = meaning.profile == nullptr || !dialect.with_defaults
                     ? dialect.decode(body, unknown)
                     : dialect.decode(dialect.with_defaults(body, *meaning.profile), unknown);
  if (!decoded.ok()) {
    refuse(exchange, decoded.error());
    return;
  }
  if (meaning.model.empty()) meaning.model = decoded->model;
  const Caller& caller = caller_of(*exchange);
  if (caller.key != nullptr && !key_allows_model(*caller.key, decoded->model, meaning.model)) {
    refuse(exchange, Error(ErrorKind::kForbidden,
                           "the key '" + caller.key->name + "' may not use the model '" +
                               decoded->model.substr(0, 200) + "': its scope has other models",
                           "model"));
    return;
  }
  if (const auto admitted = options_.shelf->admit_path(meaning.model, caller.administers()); !admitted.ok()) {
    refuse(exchange, admitted.error());
    return;
  }
  if (dialect.look_up) {
    if (const auto found = dialect.look_up(*decoded, caller); !found.ok()) {
      refuse(exchange, found.error());
      return;
    }
  }
  if (caller.key != nullptr && !caller.key->cache_salt.empty())
    decoded->cache_salt = caller.key->cache_salt + "\n" + decoded->cache_salt;
  const std::string name = meaning.model;
  const std::string adapter = decoded->adapter;
  ModelPool::AcquireOptions asking;
  asking.keep_alive = decoded->keep_alive;
  asking.deadline = deadline_of(dialect, arrived);
  if (decoded->load_only && decoded->keep_alive == Duration::zero()) {
    const auto to_unload = is_to_unload(name);
    if (!to_unload.ok()) {
      refuse(exchange, to_unload.error());
      return;
    }
    if (!*to_unload) {
      answer_loaded(exchange, dialect, *decoded,
                    {.id = {}, .model = name, .fingerprint = {}, .arrived = arrived, .loaded = arrived});
      return;
    }
  }
  options_.shelf->find(name, adapter, asking,
                       [this, name, exchange, &dialect, arrived, meaning = std::move(meaning),
                        call = decoded.take_value()](const Result<AskedModel>& asked) {
                         if (asked.ok())
                           start(exchange, dialect, call, *asked, meaning, arrived);
                         else
                           refuse_load(exchange, name, asked.error());
                       });
}

std::optional<TimePoint> GenerationHandlers::deadline_of(const GenerationDialect& dialect,
                                                         TimePoint arrived) const {
  const std::chrono::seconds timeout = dialect.priority == Priority::kLow ? batch_timeout_ : request_timeout_;
  return timeout.count() > 0 ? std::optional(arrived + timeout) : std::nullopt;
}

void GenerationHandlers::start(const http::ExchangePtr& exchange, const GenerationDialect& dialect,
                               api::GenerationCall call, AskedModel asked, const ModelNames::Meaning& meaning,
                               TimePoint arrived) {
  if (const std::int32_t context =
          meaning.profile == nullptr ? 0 : api::openai::profile_context_tokens(meaning.profile->defaults);
      context > 0 && context < asked.model->limits.context_tokens) {
    auto shorter = std::make_shared<ServedModel>(*asked.model);
    shorter->limits.context_tokens = context;
    // The pool's lease is the pointer itself.
    shorter->owner = std::make_shared<ServedModelPtr>(asked.model);
    asked.model = std::move(shorter);
  }
  const ServedModelPtr& model = asked.model;
  fit_reasoning(call, *model);
  if (dialect.answer) {
    answer(exchange, dialect, call, *model);
    return;
  }
  api::AnswerInfo info{.id = http::random_id(kAnswerIdSize),
                       .created = Clock::real().wall_seconds(),
                       .model = meaning.model == call.model ? asked.name() : call.model,
                       .fingerprint = fingerprint(asked),
                       .arrived = arrived,
                       .loaded = Clock::real().now()};
  if (call.load_only) {
    answer_loaded(exchange, dialect, call, std::move(info));
    return;
  }
  const Caller& caller = caller_of(*exchange);
  const std::string client = caller.client_name();
  Priority priority = dialect.priority;
  if (caller.key != nullptr)
    priority = dialect.priority == Priority::kLow ? Priority::kLow : caller.key->priority;
  auto encoder = dialect.encoder(call, std::move(info));
  auto run = std::make_shared<GenerationRun>(GenerationRun::Options{
      .exchange = exchange,
      .model = model,
      .adapter = asked.adapter,
      .encoder = std::move(encoder),
      .dispatcher = &options_.dispatchers->of(model->name, exchange->io_thread()),
      .metrics = options_.metrics,
      .arrived = arrived,
      .priority = priority,
      .client = client.empty() ? clients_.of(exchange->request.headers) : clients_.of(client),
      .deadline = deadline_of(dialect, arrived),
      .explain_cache = asks_to_explain_cache(exchange->request),
      .on_used = note_use(*exchange)});
  const auto submitted = run->submit(call);
  if (!submitted.ok()) {
    refuse(exchange, in_words_of(dialect, submitted.error()), model.get());
    return;
  }
  exchange->post([run = std::move(run)] { run->begin(); });
}

void GenerationHandlers::answer(const http::ExchangePtr& exchange, const GenerationDialect& dialect,
                                const api::GenerationCall& call, const ServedModel& model) {
  auto answered = dialect.answer(call, model);
  if (!answered.ok()) {
    refuse(exchange, answered.error(), &model);
    return;
  }
  http::Response response = answered.take_value();
  add_ignored(as_header(call.ignored), response);
  add_request_id(exchange->request, response);
  exchange->post([exchange, response = std::move(response)] { exchange->respond(response); });
}

// A model that is held by someone else's wish stays, and one that is not there need not come for it.
Result<bool> GenerationHandlers::is_to_unload(const std::string& name) const {
  const auto source = options_.shelf->resolve(name);
  if (!source) return true;  // an adapter's name, or unknown, as will be said
  const auto status = options_.shelf->pool().status(source->name);
  if (status && (status->view.pinned || status->view.preloaded))
    return Error(ErrorKind::kConflict,
                 "model '" + source->name +
                     "' is kept loaded by the server: stop it with 'mlxd stop', or unpin it there",
                 "keep_alive");
  return options_.shelf->pool().peek(source->name) != nullptr;
}

void GenerationHandlers::answer_loaded(const http::ExchangePtr& exchange, const GenerationDialect& dialect,
                                       const api::GenerationCall& call, api::AnswerInfo info) {
  http::Response response;
  add_ignored(as_header(call.ignored), response);
  response.body = dialect.encoder(call, std::move(info))->whole({}, {});
  exchange->post([exchange, response = std::move(response)] { exchange->respond(response); });
}

std::function<void(const Usage&)> GenerationHandlers::note_use(const http::Exchange& exchange) const {
  const std::shared_ptr<KeyUse> use = caller_of(exchange).use;
  if (use == nullptr) return {};
  return [use, on_key_used = options_.on_key_used](const Usage& usage) {
    use->note(usage.prompt_tokens, usage.completion_tokens);
    if (on_key_used) on_key_used();
  };
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
