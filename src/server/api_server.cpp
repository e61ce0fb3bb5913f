#include "server/api_server.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "api/anthropic/model_list.h"
#include "api/error_status.h"
#include "api/openai/model_list.h"
#include "base/log.h"
#include "catalog/hub_places.h"
#include "http/origin_policy.h"
#include "server/access_gate.h"
#include "server/api_document.h"
#include "server/catalog_handlers.h"
#include "server/docs_page.h"
#include "server/error_envelopes.h"
#include "server/event_hub.h"
#include "server/generation_handlers.h"
#include "server/hub_settings.h"
#include "server/job_kinds.h"
#include "server/job_routes.h"
#include "server/metrics.h"
#include "server/ollama_handlers.h"
#include "server/pool_handlers.h"
#include "server/pool_json.h"
#include "server/response_archive.h"
#include "server/response_routes.h"
#include "server/setting_routes.h"
#include "server/stored_downloads.h"
#include "server/text_workers.h"
#include "server/web_files.h"
#include "workbench/staging_folder.h"

namespace mlxd {
namespace {

std::int64_t modified_at(const std::filesystem::path& file) {
  struct stat facts {};
  return ::stat(file.c_str(), &facts) == 0 ? static_cast<std::int64_t>(facts.st_mtime) : 0;
}

// What a folder says of its model without loading it.
void add_facts(const ModelFacts& facts, api::openai::ModelEntry& described) {
  described.chat = facts.has_chat_template;
  described.context_tokens = facts.context_tokens;
  described.num_parameters = facts.num_parameters;
  described.architecture = facts.architecture;
  described.quantization = facts.quantization;
  described.size_bytes = static_cast<std::int64_t>(facts.size_bytes);
  described.tools = facts.tools;
  described.reasoning = facts.reasoning;
}

// As the model, but for its name.
api::openai::ModelEntry describe_adapter(const api::openai::ModelEntry& model, const std::string& adapter) {
  api::openai::ModelEntry described = model;
  described.id = model.id + "+" + adapter;
  described.parent = model.id;
  return described;
}

// A pool that tells of its loads.
ModelPool::Options telling(ModelPool::Options pool, EventHub& events) {
  pool.on_event = [&events](const std::string& model, const LoadEvent* event) {
    events.publish("server", event == nullptr ? encode_unloaded(model) : encode_load_event(model, *event));
  };
  return pool;
}

// Of downloads, with what earlier versions of this program kept in files.
Result<std::unique_ptr<DownloadJournal>> open_journal(Management& management) {
  auto journal = std::make_unique<StoredDownloads>(management.database());
  if (!management.state_folder().empty()) TRY(journal->take_over(management.state_folder() / "downloads"));
  return std::unique_ptr<DownloadJournal>(std::move(journal));
}

}  // namespace

struct ApiServer::Impl {
  explicit Impl(Options& options)
      : management(std::move(options.management)),
        gate(management->accounts(), management->meter()),
        dispatchers([this](std::size_t io_thread, std::function<void()> function) {
          server_pointer.load()->post(io_thread, std::move(function));
        }),
        shelf(telling(std::move(options.pool), events), options.models_folder, options.hub_cache,
              [this] { return added_folders(); }),
        workers(options.text_workers, options.max_queued_requests),
        responses(
            {.database = &management->database(),
             .workers = &workers,
             .retention_days = [this] { return management->settings().now()->response_retention_days(); },
             .most_bytes = [this] { return management->settings().now()->response_storage_bytes(); },
             .clock = &management->clock()}) {}

  void add_routes(http::Router& router);
  Result<void> open_jobs(const Options& options);
  SystemFacts system_facts() const;
  /// As the settings say now.
  std::vector<std::filesystem::path> added_folders() const;
  /// Brings what API keys have used into the database, once for all that end meanwhile.
  void save_usage();
  api::openai::ModelEntry describe(const ModelShelf::Entry& entry) const;
  void answer_ready(http::Exchange& exchange) const;
  void list_models(const http::ExchangePtr& exchange);
  void show_model(const http::ExchangePtr& exchange);
  /// Runs `job` on a text worker, or answers that there are too many.
  void on_worker(const http::ExchangePtr& exchange, std::function<void()> job);

  // First, as all others may use it to the end.
  std::unique_ptr<Management> management;
  AccessGate gate;
  std::vector<std::pair<std::string, std::string>> routes;
  std::atomic<bool> saving_usage{false};
  TimePoint started = Clock::real().now();
  std::atomic<bool> ready{false};
  std::atomic<bool> draining{false};
  // For threads that may run before `server` is set.
  std::atomic<http::Server*> server_pointer{nullptr};
  Metrics metrics;
  StreamDispatchers dispatchers;
  EventHub events;
  ModelShelf shelf;
  TextWorkers workers;
  ResponseArchive responses;
  PoolHandlers pool_handlers{shelf, workers, management->settings()};
  std::unique_ptr<GenerationHandlers> generation;
  std::unique_ptr<CatalogHandlers> catalog;
  std::unique_ptr<OllamaHandlers> ollama;
  std::unique_ptr<JobQueue> jobs;
  std::unique_ptr<http::Server> server;
};

api::openai::ModelEntry ApiServer::Impl::describe(const ModelShelf::Entry& entry) const {
  api::openai::ModelEntry described;
  described.id = entry.name;
  if (!entry.folder.empty()) {
    if (const auto facts = catalog->facts_of(entry.folder); facts) add_facts(*facts, described);
    described.created = modified_at(entry.folder / "config.json");
  }
  if (entry.model == nullptr) return described;
  described.created = entry.model->created;
  described.context_tokens = entry.model->limits.context_tokens;
  described.num_parameters = entry.model->num_parameters;
  described.loaded = true;
  described.chat = entry.model->chat_format != nullptr;
  return described;
}

void ApiServer::Impl::answer_ready(http::Exchange& exchange) const {
  http::Response response;
  response.status = ready && !draining ? 200 : 503;
  response.body = draining ? R"({"status":"draining"})"
                  : ready  ? R"({"status":"ready"})"
                           : R"({"status":"loading"})";
  if (response.status == 503) response.headers.add("Retry-After", "1");
  exchange.respond(std::move(response));
}

void ApiServer::Impl::on_worker(const http::ExchangePtr& exchange, std::function<void()> job) {
  if (!workers.try_post(std::move(job)))
    exchange->respond_error(503, Error(ErrorKind::kOverloaded, "too many requests wait to be read"), 1);
}

void ApiServer::Impl::list_models(const http::ExchangePtr& exchange) {
  std::vector<api::openai::ModelEntry> entries;
  for (const ModelShelf::Entry& entry : shelf.list()) {
    const api::openai::ModelEntry model = describe(entry);
    entries.push_back(model);
    for (const std::string& adapter : ModelShelf::adapters_of(entry))
      entries.push_back(describe_adapter(model, adapter));
  }
  for (const auto& [name, model] : management->names().all()) {
    api::openai::ModelEntry named{.id = name, .parent = model};
    const auto same = std::find_if(entries.begin(), entries.end(),
                                   [&](const api::openai::ModelEntry& entry) { return entry.id == model; });
    if (same != entries.end()) {
      named = *same;
      named.id = name;
      named.parent = model;
    }
    entries.push_back(std::move(named));
  }
  // A key sees what it may ask for.
  if (const std::shared_ptr<const ApiKey> key = caller_of(*exchange).key)
    std::erase_if(entries, [&](const api::openai::ModelEntry& entry) {
      return !key_allows_model(*key, entry.id, entry.parent.empty() ? entry.id : entry.parent);
    });
  http::Response response;
  if (envelope_of(exchange->request) == ErrorEnvelope::kAnthropic) {
    const auto page = api::anthropic::read_model_page(exchange->request.query);
    auto list = page.ok() ? api::anthropic::encode_model_list(entries, *page) : page.error();
    if (!list.ok()) {
      exchange->post(
          [exchange, error = list.error()] { exchange->respond_error(api::status_of(error.kind), error); });
      return;
    }
    response.body = list.take_value();
  } else {
    response.body = api::openai::encode_model_list(entries);
  }
  add_request_id(exchange->request, response);
  exchange->post([exchange, response] { exchange->respond(response); });
}

void ApiServer::Impl::show_model(const http::ExchangePtr& exchange) {
  const std::string name(exchange->request.parameter("id"));
  const auto answer = [&exchange](const api::openai::ModelEntry& model) {
    http::Response response;
    response.body = envelope_of(exchange->request) == ErrorEnvelope::kAnthropic
                        ? api::anthropic::encode_model(model)
                        : api::openai::encode_model(model);
    add_request_id(exchange->request, response);
    exchange->post([exchange, response] { exchange->respond(response); });
  };
  const std::vector<ModelShelf::Entry> entries = shelf.list();
  for (const ModelShelf::Entry& entry : entries) {
    if (entry.name == name) return answer(describe(entry));
  }
  if (const std::string meant = management->names().resolve(name).model; meant != name) {
    for (const ModelShelf::Entry& entry : entries) {
      if (entry.name != meant) continue;
      api::openai::ModelEntry named = describe(entry);
      named.id = name;
      named.parent = meant;
      return answer(named);
    }
  }
  Error error = shelf.unknown(name);
  for (const auto& split : split_adapter(name)) {
    const auto entry = std::find_if(entries.begin(), entries.end(),
                                    [&](const ModelShelf::Entry& each) { return each.name == split.first; });
    if (entry == entries.end()) continue;
    const std::vector<std::string> adapters = ModelShelf::adapters_of(*entry);
    if (std::find(adapters.begin(), adapters.end(), split.second) != adapters.end())
      return answer(describe_adapter(describe(*entry), split.second));
    error = unknown_adapter(split.second, split.first, adapters);
    break;
  }
  exchange->post([exchange, error] { exchange->respond_error(api::status_of(error.kind), error); });
}

std::vector<std::filesystem::path> ApiServer::Impl::added_folders() const {
  std::vector<std::filesystem::path> folders;
  const auto settings = management->settings().now();
  for (const std::string& folder : settings->models_folders()) folders.push_back(with_user_home(folder));
  return folders;
}

SystemFacts ApiServer::Impl::system_facts() const {
  SystemFacts facts;
  // By the clock that nobody sets: the wall clock may stand before the start.
  facts.uptime_s = std::chrono::duration_cast<std::chrono::seconds>(Clock::real().now() - started).count();
  facts.started_at = Clock::real().wall_seconds() - facts.uptime_s;
  facts.resident_bytes = process_memory().resident_bytes;
  const http::Server* http = server_pointer;
  facts.open_connections = http != nullptr ? http->open_connections() : 0;
  for (const ServedModelPtr& model : shelf.loaded()) facts.loaded_models.push_back(model->name);
  facts.state_folder = management->state_folder().string();
  return facts;
}

void ApiServer::Impl::save_usage() {
  if (saving_usage.exchange(true)) return;
  const bool queued = workers.try_post([this] {
    saving_usage = false;
    if (const auto saved = management->accounts().save_usage(); !saved.ok())
      log::error("what API keys have used is not stored yet: {}", saved.error().message);
  });
  // The next request that ends tries again, and the end of the server.
  if (!queued) saving_usage = false;
}

Result<void> ApiServer::Impl::open_jobs(const Options& options) {
  // What a killed job has left goes before another one begins.
  if (options.runs_jobs && !options.models_folder.empty())
    StagingFolder::remove_remains(options.models_folder);
  const JobEnvironment environment{.shelf = &shelf,
                                   .names = &management->names(),
                                   .models_folder = options.models_folder,
                                   .hub_cache = options.hub_cache,
                                   .host = options.job_host,
                                   .models_changed = [this] { catalog->scan_now(); }};
  jobs = TRY(JobQueue::open(with_events({.database = &management->database(),
                                         .kinds = job_kinds(environment),
                                         .runs = options.runs_jobs,
                                         .clock = &management->clock()},
                                        events)));
  return {};
}

void ApiServer::Impl::add_routes(http::Router& router) {
  router.add("GET", "/healthz", [](const http::ExchangePtr& exchange) {
    http::Response response;
    response.body = R"({"status":"ok"})";
    exchange->respond(std::move(response));
  });
  router.add("GET", "/readyz", [this](const http::ExchangePtr& exchange) { answer_ready(*exchange); });
  router.add("GET", "/metrics", [this](const http::ExchangePtr& exchange) {
    on_worker(exchange, [this, exchange] {
      const http::Server* http = server_pointer;
      http::Response response;
      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
      response.body = metrics.render(shelf.loaded(), http != nullptr ? http->open_connections() : 0);
      exchange->post([exchange, response] { exchange->respond(response); });
    });
  });
  router.add("GET", "/v1/models", [this](const http::ExchangePtr& exchange) {
    on_worker(exchange, [this, exchange] { list_models(exchange); });
  });
  router.add("GET", "/v1/models/{id...}", [this](const http::ExchangePtr& exchange) {
    on_worker(exchange, [this, exchange] { show_model(exchange); });
  });
  generation->add_routes(router);
  pool_handlers.add_routes(router);
  catalog->add_routes(router);
  ollama->add_routes(router);
  ManageRoutes manage_routes(router, workers, [this](std::string_view collection) {
    events.publish(collection, R"({"changed":true})");
  });
  management->add_routes(manage_routes);
  add_response_routes(manage_routes, responses);
  add_job_routes(manage_routes, *jobs);
  add_system_route(manage_routes, [this] { return system_facts(); });
  for (const http::Route& route : router.routes()) routes.emplace_back(route.method, route.pattern);
  router.wrap_handlers([this](const http::Route& route) { return gate.guard(route); });
}

Result<std::unique_ptr<ApiServer>> ApiServer::start(Options options) {
  if (options.management == nullptr)
    options.management = TRY(Management::open({.loopback = http::is_loopback_host(options.http.host)}));
  auto impl = std::make_unique<Impl>(options);
  Impl* raw = impl.get();
  impl->generation = std::make_unique<GenerationHandlers>(GenerationHandlers::Options{
      .shelf = &impl->shelf,
      .workers = &impl->workers,
      .metrics = &impl->metrics,
      .dispatchers = &impl->dispatchers,
      .ready = &impl->ready,
      .names = &impl->management->names(),
      .strict = options.strict,
      .responses = &impl->responses,
      .ignores_unknown = [raw] { return raw->management->settings().now()->ignores_unknown(); },
      .request_timeout = options.request_timeout,
      .batch_timeout = options.batch_timeout,
      .on_key_used = [raw] { raw->save_usage(); }});
  std::unique_ptr<DownloadJournal> journal = TRY(open_journal(*impl->management));
  impl->catalog = TRY(CatalogHandlers::create(
      {.shelf = &impl->shelf,
       .events = &impl->events,
       .models_folder = options.models_folder,
       .hub_cache = options.hub_cache,
       .added_folders = [raw] { return raw->added_folders(); },
       .journal = std::move(journal),
       .kept_hub_token = [raw] { return raw->management->settings().secret("hf-token"); },
       .hub_policy = [raw] { return hub_policy_of(*raw->management->settings().now()); },
       .first_events = [raw](const Caller& caller) { return first_job_events(*raw->jobs, caller); }}));
  // Whoever has changed the folders sees it in the next list.
  impl->management->settings().on_change([raw](const Settings& before, const Settings& now) {
    if (before.models_folders() == now.models_folders()) return;
    raw->shelf.forget_places();
    raw->catalog->scan_now();
  });
  impl->shelf.on_given([raw] { raw->catalog->request_scan(); });
  impl->ollama = std::make_unique<OllamaHandlers>(OllamaHandlers::Options{
      .shelf = &impl->shelf, .names = &impl->management->names(), .catalog = impl->catalog.get()});
  TRY(impl->open_jobs(options));
  http::Router router;
  add_document_route(router, TRY(api_document()));
  impl->add_routes(router);
  // After the gate has taken all others: the files of the page are for anyone.
  add_docs_routes(router);
  WebFiles(embedded_web_files(), embedded_web_pages()).add_routes(router, MLXD_VERSION);
  options.http.render_error = render_error;
  options.http.on_record = [raw](const http::RequestRecord& record) { raw->metrics.observe_request(record); };
  impl->server = TRY(http::Server::start(std::move(options.http), std::move(router)));
  impl->server_pointer = impl->server.get();
  // What was kept long enough goes, also where nothing new is kept.
  if (!impl->workers.try_post([raw] { raw->responses.flush(); }))
    log::debug("old responses are looked for later");
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(impl)));
}

ApiServer::ApiServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

// Clients first, then those who work for them, then what they started meanwhile; the shelf's models end their
// engines, which post to the server until then.
ApiServer::~ApiServer() {
  impl_->ollama->close();
  impl_->jobs->stop();
  impl_->server->close_all();
  impl_->workers.stop();
  impl_->responses.flush();
  impl_->catalog->stop();
  impl_->jobs.reset();
  impl_->shelf.stop();
  impl_->server->close_all();
  impl_->shelf.clear();
  impl_->server.reset();
}

ModelShelf& ApiServer::models() { return impl_->shelf; }
http::Server& ApiServer::http() { return *impl_->server; }
Management& ApiServer::management() { return *impl_->management; }
void ApiServer::set_timeouts(std::chrono::seconds request, std::chrono::seconds batch) {
  impl_->generation->set_timeouts(request, batch);
}
const std::vector<std::pair<std::string, std::string>>& ApiServer::routes() const { return impl_->routes; }
void ApiServer::set_ready() {
  impl_->ready = true;
  impl_->jobs->begin();
}

void ApiServer::begin_drain() {
  impl_->draining = true;
  // Streams that end late or never would be waited for.
  impl_->events.close();
  impl_->ollama->close();
  impl_->jobs->stop();
  impl_->server->begin_drain();
}

}  // namespace mlxd
