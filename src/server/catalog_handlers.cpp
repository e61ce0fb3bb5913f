#include "server/catalog_handlers.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <system_error>
#include <utility>

#include "api/error_status.h"
#include "api/manage/catalog_json.h"
#include "base/log.h"
#include "base/nearest_names.h"
#include "catalog/hub_facts.h"
#include "catalog/local_models.h"
#include "catalog/memory_journal.h"
#include "catalog/recommended_models.h"
#include "http/sse.h"
#include "model/architectures/architecture.h"
#include "text/chat_template.h"
#include "text/template_traits.h"
#include "workbench/machine.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
namespace manage = api::manage;

constexpr std::size_t kWorkers = 3;
/// Who lists the models has them looked for again if the last look is older; what is new comes as an event.
constexpr std::chrono::seconds kListAge{2};
constexpr std::size_t kMaxQueued = 64;
constexpr std::size_t kMaxBodyBytes = std::size_t{64} * 1024;
constexpr std::size_t kMaxCardBytes = std::size_t{4} << 20U;
// A listener that has so much to read does not read: it is cut, and sees the whole state when it comes again.
constexpr std::size_t kMaxPendingBytes = std::size_t{1} << 20U;

http::Response json_response(int status, const json::value& body) {
  http::Response response;
  response.status = status;
  response.body = json::serialize(body);
  return response;
}

std::string field_of(const std::vector<std::pair<std::string, std::string>>& fields, std::string_view name) {
  for (const auto& [key, value] : fields)
    if (key == name) return value;
  return {};
}

Result<void> check_fields(const std::vector<std::pair<std::string, std::string>>& fields,
                          const std::vector<std::string>& known) {
  for (const auto& [name, value] : fields) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string names;
    for (const std::string& each : known) names += (names.empty() ? "" : ", ") + each;
    return invalid_argument("the query has no field '" + name.substr(0, 100) + "': it knows " + names,
                            name.substr(0, 100));
  }
  return {};
}

// The variables of a folder's chat template with the values that change nothing; none where it has no
// template that can be read, which the list of models tells otherwise.
json::array template_switches(const fs::path& folder) {
  json::array list;
  if (folder.empty()) return list;
  const auto parsed = ChatTemplate::open(folder);
  if (!parsed.ok()) return list;
  for (const TemplateSwitch& each : find_traits(*parsed).switches) {
    boost::system::error_code code;
    const json::value known = json::parse(each.default_json, code);
    list.push_back(
        json::object{{"name", json::string(each.name)}, {"default", code ? json::value(nullptr) : known}});
  }
  return list;
}

Result<std::int64_t> number_of(const std::vector<std::pair<std::string, std::string>>& fields,
                               std::string_view name, std::int64_t fallback, std::int64_t low,
                               std::int64_t high) {
  const std::string text = field_of(fields, name);
  if (text.empty()) return fallback;
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value < low || value > high)
    return invalid_argument(std::string(name) + " is '" + text.substr(0, 40) +
                                "': it must be a whole number from " + std::to_string(low) + " to " +
                                std::to_string(high),
                            std::string(name));
  return value;
}

Result<FitQuestion> question_of(const std::vector<std::pair<std::string, std::string>>& fields) {
  FitQuestion question;
  question.memory_bytes = total_memory_bytes();
  question.context_tokens = TRY(number_of(fields, "context", 8192, 1, std::int64_t{1} << 24U));
  question.concurrency = TRY(number_of(fields, "concurrency", 1, 1, 1024));
  return question;
}

}  // namespace

CatalogHandlers::CatalogHandlers(Options options)
    : options_(std::move(options)),
      events_(*options_.events),
      workers_(kWorkers, kMaxQueued),
      no_hub_(ErrorKind::kUnavailable, "this server has no model cache: downloads are off") {}

Result<std::unique_ptr<CatalogHandlers>> CatalogHandlers::create(Options options) {
  std::unique_ptr<CatalogHandlers> handlers(new CatalogHandlers(std::move(options)));
  TRY(handlers->start());
  return handlers;
}

Result<void> CatalogHandlers::start() {
  ModelCatalog::Options catalog;
  if (!options_.models_folder.empty()) catalog.model_folders = {options_.models_folder};
  catalog.hub_cache = options_.hub_cache;
  catalog.added_folders = options_.added_folders;
  catalog.given_models = [shelf = options_.shelf] { return shelf->given(); };
  catalog.on_change = [this] { events_.publish("models", R"({"changed":true})"); };
  catalog_ = std::make_unique<ModelCatalog>(std::move(catalog));
  if (options_.hub_cache.empty()) return {};
  auto places = locate_hub();
  if (!places) {
    log::warn("no downloads: {}", places.error().message);
    no_hub_ = places.take_error();
    return {};
  }
  places->cache = options_.hub_cache;
  std::unique_ptr<DownloadJournal> journal = std::move(options_.journal);
  if (journal == nullptr) journal = std::make_unique<MemoryJournal>();
  Downloader::Options downloads;
  downloads.on_change = [this](const DownloadStatus& status) {
    events_.publish("download", json::serialize(manage::download_json(status)));
    tell_listeners(status);
    if (!is_over(status.record.state)) return;
    catalog_->request_scan();
    if (status.record.state == DownloadState::kFailed)
      log::warn("the download of {} failed: {}", status.record.repository, status.record.message);
  };
  HubClient hub(places.take_value(), {.kept_token = options_.kept_hub_token, .policy = options_.hub_policy});
  downloader_ = TRY(Downloader::start(std::move(hub), std::move(journal), std::move(downloads)));
  return {};
}

CatalogHandlers::~CatalogHandlers() { stop(); }

void CatalogHandlers::stop() {
  stop_.stop();
  if (catalog_ != nullptr) catalog_->stop();  // whoever waits for a look goes on
  workers_.stop();
  if (downloader_ != nullptr) downloader_->stop();
}

Result<ModelFacts> CatalogHandlers::facts_of(const fs::path& folder) const {
  const ModelCatalog::Models known = catalog_->known_models();
  for (const CatalogModel& model : *known)
    if (model.folder == folder && model.facts.size_bytes > 0) return model.facts;
  return read_model_facts(folder);
}

void CatalogHandlers::add(http::Router& router, const std::string& method, const std::string& path,
                          Answer answer, http::RouteOptions options) {
  add_for_caller(
      router, method, path,
      [answer = std::move(answer)](const http::Request& request, const Caller&) { return answer(request); },
      std::move(options));
}

void CatalogHandlers::add_for_caller(http::Router& router, const std::string& method, const std::string& path,
                                     CallerAnswer answer, http::RouteOptions options) {
  const auto shared = std::make_shared<const CallerAnswer>(std::move(answer));
  router.add(
      method, path,
      [this, shared](const http::ExchangePtr& exchange) {
        const bool posted = workers_.try_post([shared, exchange] {
          auto response = (*shared)(exchange->request, caller_of(*exchange));
          if (response) {
            exchange->post([exchange, response = response.take_value()] { exchange->respond(response); });
            return;
          }
          Error failure = response.take_error();
          // Not we refuse who asks, but the hub refuses us.
          if (failure.kind == ErrorKind::kUnauthorized) failure.kind = ErrorKind::kForbidden;
          exchange->post([exchange, error = std::move(failure)] {
            exchange->respond_error(api::status_of(error.kind), error);
          });
        });
        if (!posted) exchange->respond_error(503, Error(ErrorKind::kOverloaded, "too many requests wait"), 1);
      },
      std::move(options));
}

void CatalogHandlers::add_routes(http::Router& router) {
  using http::Request;
  add(router, "GET", "/api/v1/models", [this](const Request& request) { return list_models(request); });
  add(router, "POST", "/api/v1/models/scan", [this](const Request& request) {
    catalog_->scan_now();
    return list_models(request);
  });
  add(router, "GET", "/api/v1/models/{id...}",
      [this](const Request& request) { return show_model(request); });
  add(router, "DELETE", "/api/v1/models/{id...}",
      [this](const Request& request) { return delete_model(request); });
  add(router, "GET", "/api/v1/hub/models", [this](const Request& request) { return search_hub(request); });
  add(router, "GET", "/api/v1/hub/models/{id...}",
      [this](const Request& request) { return show_hub_model(request); });
  add(router, "GET", "/api/v1/hub/variants",
      [this](const Request& request) { return list_variants(request); });
  add(router, "GET", "/api/v1/hub/recommended",
      [this](const Request& request) { return list_recommended(request); });
  add(router, "POST", "/api/v1/hub/token-test",
      [this](const Request& request) { return test_token(request); },
      {.media_type = "application/json", .max_body_bytes = kMaxBodyBytes});
  add(router, "GET", "/api/v1/downloads", [this](const Request&) -> Result<http::Response> {
    json::array list;
    for (const DownloadStatus& status : TRY(downloads())->list())
      list.push_back(manage::download_json(status));
    return json_response(200, json::object{{"downloads", std::move(list)}});
  });
  add_for_caller(
      router, "POST", "/api/v1/downloads",
      [this](const Request& request, const Caller& caller) { return begin_download(request, caller); },
      {.media_type = "application/json", .max_body_bytes = kMaxBodyBytes});
  add(router, "GET", "/api/v1/downloads/{id}",
      [this](const Request& request) { return show_download(std::string(request.parameter("id")), 200); });
  add(router, "DELETE", "/api/v1/downloads/{id}",
      [this](const Request& request) { return delete_download(request); });
  using Verb = Result<void> (Downloader::*)(const std::string&);
  const std::array<std::pair<const char*, Verb>, 3> verbs = {
      {{"pause", &Downloader::pause}, {"resume", &Downloader::resume}, {"cancel", &Downloader::cancel}}};
  for (const auto& [name, verb] : verbs) {
    add(router, "POST", std::string("/api/v1/downloads/{id}/") + name,
        [this, verb = verb](const Request& request) -> Result<http::Response> {
          const std::string id(request.parameter("id"));
          TRY((TRY(downloads())->*verb)(id));
          note_managed(id);
          return show_download(id, 200);
        });
  }
  router.add("GET", "/api/v1/events", [this](const http::ExchangePtr& exchange) { listen(exchange); });
}

void CatalogHandlers::listen(const http::ExchangePtr& exchange) {
  http::Response response;
  response.content_type = http::kEventStreamType;
  response.headers.add("Cache-Control", "no-store");
  if (exchange->request.method == "HEAD") return exchange->respond(std::move(response));
  const auto id = std::make_shared<std::uint64_t>(0);
  exchange->on_gone([this, id] { events_.unsubscribe(*id); });
  *id = events_.subscribe(
      [this, exchange, id](const std::shared_ptr<const std::string>& bytes) {
        exchange->post([this, exchange, id, bytes] {
          if (exchange->gone()) return;
          if (bytes == nullptr) return exchange->end();
          if (exchange->pending_bytes() <= kMaxPendingBytes) return exchange->send(*bytes);
          events_.unsubscribe(*id);
          exchange->cut();
        });
      },
      {caller_of(*exchange).user_id(), caller_of(*exchange).administers()});
  exchange->begin_stream(std::move(response), [] { return std::string(http::kSseKeepAlive); });
  // The whole state after that, so that whoever comes late misses nothing.
  workers_.try_post([this, exchange] {
    json::array list;
    if (downloader_ != nullptr) {
      for (const DownloadStatus& status : downloader_->list()) list.push_back(manage::download_json(status));
    }
    std::string bytes =
        EventHub::encode("downloads", json::serialize(json::object{{"downloads", std::move(list)}}));
    if (options_.first_events) bytes += options_.first_events(caller_of(*exchange));
    exchange->post([exchange, bytes] {
      if (!exchange->gone()) exchange->send(bytes);
    });
  });
}

Result<Downloader*> CatalogHandlers::downloads() const {
  if (downloader_ == nullptr) return no_hub_;
  return downloader_.get();
}

bool CatalogHandlers::is_loaded(const std::string& name) const {
  const auto loaded = options_.shelf->loaded();
  return std::any_of(loaded.begin(), loaded.end(),
                     [&](const ServedModelPtr& model) { return model->name == name; });
}

Result<http::Response> CatalogHandlers::list_models(const http::Request& request) {
  const Fields fields = TRY(manage::decode_query(request.query));
  TRY(check_fields(fields, {"context", "concurrency"}));
  const FitQuestion question = TRY(question_of(fields));
  json::array list;
  catalog_->request_scan_after(kListAge);
  const ModelCatalog::Models models = catalog_->models();
  for (const CatalogModel& model : *models) {
    const manage::ModelStanding standing{is_loaded(model.name),
                                         find_architecture(model.facts.architecture) != nullptr};
    list.push_back(manage::model_json(model, standing, fit_memory(model.facts, question), false));
  }
  return json_response(200, json::object{{"models", std::move(list)}});
}

Result<http::Response> CatalogHandlers::show_model(const http::Request& request) {
  const Fields fields = TRY(manage::decode_query(request.query));
  TRY(check_fields(fields, {"context", "concurrency"}));
  const FitQuestion question = TRY(question_of(fields));
  const std::string asked(request.parameter("id"));
  const ModelCatalog::Models models = catalog_->models();
  std::vector<std::string> names;
  for (const CatalogModel& model : *models) names.push_back(model.name);
  const std::vector<std::string> matches = matching_names(asked, names);
  for (const CatalogModel& model : *models) {
    if (matches.size() != 1 || model.name != matches.front()) continue;
    const manage::ModelStanding standing{is_loaded(model.name),
                                         find_architecture(model.facts.architecture) != nullptr};
    json::object body = manage::model_json(model, standing, fit_memory(model.facts, question), true);
    body["template_switches"] = template_switches(model.folder);
    return json_response(200, body);
  }
  std::string message = "there is no model '" + asked.substr(0, 200) + "' on this machine";
  for (const std::string& name : nearest_names(asked, names, 3))
    message += (message.ends_with("machine") ? ": the nearest are " : ", ") + name;
  return Error(ErrorKind::kNotFound, message, "model");
}

std::uint64_t CatalogHandlers::follow_downloads(DownloadListener listener) {
  auto shared = std::make_shared<const DownloadListener>(std::move(listener));
  const MutexLock lock(mutex_);
  listeners_.emplace(++last_listener_, std::move(shared));
  return last_listener_;
}

void CatalogHandlers::unfollow_downloads(std::uint64_t id) {
  std::shared_ptr<const DownloadListener> dropped;
  const MutexLock lock(mutex_);
  const auto found = listeners_.find(id);
  if (found == listeners_.end()) return;
  dropped = std::move(found->second);
  listeners_.erase(found);
}

void CatalogHandlers::tell_listeners(const DownloadStatus& status) const {
  std::vector<std::shared_ptr<const DownloadListener>> all;
  {
    const MutexLock lock(mutex_);
    for (const auto& [id, listener] : listeners_) all.push_back(listener);
  }
  for (const auto& listener : all) (*listener)(status);
}

void CatalogHandlers::note_managed(const std::string& download) {
  const MutexLock lock(mutex_);
  managed_.insert(download);
}

bool CatalogHandlers::is_managed(const std::string& download) const {
  const MutexLock lock(mutex_);
  return managed_.contains(download);
}

Result<http::Response> CatalogHandlers::delete_model(const http::Request& request) {
  const Fields fields = TRY(manage::decode_query(request.query));
  TRY(check_fields(fields, {"revision", "added"}));
  const bool added = TRY(number_of(fields, "added", 0, 0, 1)) != 0;
  const Removed removed =
      TRY(remove(std::string(request.parameter("id")), field_of(fields, "revision"), added));
  return json_response(200, manage::removed_json(removed));
}

Result<Removed> CatalogHandlers::remove(const std::string& name, const std::string& revision, bool added) {
  const ModelCatalog::Models models = catalog_->models();
  const auto found = std::find_if(models->begin(), models->end(),
                                  [&](const CatalogModel& model) { return model.name == name; });
  if (found == models->end())
    return Error(ErrorKind::kNotFound, "there is no model '" + name.substr(0, 200) + "' on this machine",
                 "model");
  if (found->source == CatalogSource::kPath)
    return Error(ErrorKind::kConflict,
                 name + " was given by its path and is not this server's to remove: remove " +
                     found->folder.string() + " yourself",
                 "model");
  if (found->source == CatalogSource::kAdded && !added)
    return Error(
        ErrorKind::kConflict,
        name + " lies in a folder that was added, " + found->folder.string() +
            ": nothing is removed there but by 'mlxd rm --added' or DELETE /api/v1/models/{id}?added=1",
        "model");
  if (downloader_ != nullptr && downloader_->uses(name))
    return Error(ErrorKind::kConflict, "a download of " + name + " is not over: cancel it first");
  if (is_loaded(name)) return Error(ErrorKind::kConflict, name + " is loaded: stop it first", "model");
  Removed removed;
  if (found->source == CatalogSource::kHub) {
    if (revision.empty()) {
      removed = TRY(remove_repository(options_.hub_cache, name));
    } else {
      const std::string commit = read_ref(RepositoryPaths(options_.hub_cache, name), revision);
      removed = TRY(remove_revision(options_.hub_cache, name, commit.empty() ? revision : commit));
    }
  } else {
    if (!revision.empty()) return invalid_argument(name + " is a folder: it has no revisions", "revision");
    removed = TRY(remove_model_folder(found->folder, found->facts.size_bytes));
  }
  catalog_->scan_now();
  return removed;
}

Result<http::Response> CatalogHandlers::search_hub(const http::Request& request) {
  const Fields fields = TRY(manage::decode_query(request.query));
  TRY(check_fields(fields, {"search", "author", "tag", "sort", "limit", "cursor", "all"}));
  HubQuery query;
  query.text = field_of(fields, "search");
  query.author = field_of(fields, "author");
  for (const auto& [name, value] : fields)
    if (name == "tag") query.tags.push_back(value);
  query.mlx_only = field_of(fields, "all") != "1";
  query.limit = static_cast<std::int32_t>(TRY(number_of(fields, "limit", 20, 1, 100)));
  query.cursor = field_of(fields, "cursor");
  if (const std::string sort = field_of(fields, "sort"); !sort.empty()) {
    query.sort = TRY(hub_sort_of(sort));
  }
  const HubPage page = TRY(TRY(downloads())->hub().search(query, stop_));
  json::array list;
  const ModelCatalog::Models here = catalog_->models();
  for (const HubModel& model : page.models) {
    json::object entry = manage::hub_model_json(model);
    entry["here"] = std::any_of(here->begin(), here->end(), [&](const CatalogModel& each) {
      return each.name == model.id && each.source == CatalogSource::kHub;
    });
    entry["supported"] = find_architecture(model.model_type) != nullptr;
    list.push_back(std::move(entry));
  }
  return json_response(
      200, json::object{{"models", std::move(list)},
                        {"next", page.next.empty() ? json::value(nullptr) : json::value(page.next)}});
}

Result<http::Response> CatalogHandlers::show_hub_model(const http::Request& request) {
  const Fields fields = TRY(manage::decode_query(request.query));
  TRY(check_fields(fields, {"revision", "context", "concurrency"}));
  const FitQuestion question = TRY(question_of(fields));
  const std::string revision = field_of(fields, "revision");
  const HubClient& hub = TRY(downloads())->hub();
  const HubModel model =
      TRY(hub.model(std::string(request.parameter("id")), revision.empty() ? "main" : revision, stop_));
  const ModelFacts facts = read_hub_facts(hub, model, stop_);
  json::object object = manage::hub_model_json(model);
  const auto card = hub.read_file(model.id, model.commit, "README.md", kMaxCardBytes, stop_);
  object["card"] = card ? json::value(*card) : json::value(nullptr);
  object["facts"] = manage::facts_json(facts);
  object["fit"] = manage::fit_json(fit_memory(facts, question));
  object["supported"] = find_architecture(facts.architecture) != nullptr;
  return json_response(200, object);
}

Result<http::Response> CatalogHandlers::list_variants(const http::Request& request) {
  const Fields fields = TRY(manage::decode_query(request.query));
  TRY(check_fields(fields, {"of", "context", "concurrency"}));
  const FitQuestion question = TRY(question_of(fields));
  const HubVariants found =
      TRY(find_hub_variants(TRY(downloads())->hub(), field_of(fields, "of"), question, stop_));
  return json_response(200, manage::variants_json(found));
}

Result<http::Response> CatalogHandlers::list_recommended(const http::Request& request) {
  const Fields fields = TRY(manage::decode_query(request.query));
  TRY(check_fields(fields, {"context", "concurrency"}));
  const FitQuestion question = TRY(question_of(fields));
  json::array list;
  const ModelCatalog::Models here = catalog_->models();
  for (const Recommendation& each : recommend_models(question)) {
    json::object entry = manage::recommendation_json(each);
    entry["here"] = std::any_of(here->begin(), here->end(), [&](const CatalogModel& model) {
      return model.name == each.model->id && model.problem.empty();
    });
    entry["supported"] = find_architecture(each.model->architecture) != nullptr;
    list.push_back(std::move(entry));
  }
  return json_response(200, json::object{{"as_of", std::string(recommended_models_date())},
                                         {"memory_bytes", question.memory_bytes},
                                         {"models", std::move(list)}});
}

Result<http::Response> CatalogHandlers::test_token(const http::Request& request) {
  const std::string token = TRY(manage::decode_token_test(request.body));
  const HubAccount account = TRY(TRY(downloads())->hub().account(token, stop_));
  return json_response(200, manage::hub_account_json(account));
}

Result<http::Response> CatalogHandlers::begin_download(const http::Request& request, const Caller& caller) {
  const manage::DownloadRequest wish = TRY(manage::decode_download_request(request.body));
  const auto begun =
      TRY(TRY(downloads())->begin({wish.repository, wish.revision, wish.patterns, caller.user_id()}));
  note_managed(begun.status.record.id);
  http::Response response = json_response(begun.joined ? 200 : 202, manage::download_json(begun.status));
  response.headers.add("Location", "/api/v1/downloads/" + begun.status.record.id);
  return response;
}

Result<http::Response> CatalogHandlers::show_download(const std::string& id, int status) const {
  return json_response(status, manage::download_json(TRY(TRY(downloads())->status(id))));
}

// One that is over loses its record; another is cancelled first.
Result<http::Response> CatalogHandlers::delete_download(const http::Request& request) {
  const std::string id(request.parameter("id"));
  Downloader& downloads_here = *TRY(downloads());
  const DownloadStatus status = TRY(downloads_here.status(id));
  if (!is_over(status.record.state)) {
    TRY(downloads_here.cancel(id));
    return show_download(id, 202);
  }
  TRY(downloads_here.forget(id));
  http::Response response;
  response.status = 204;
  return response;
}

}  // namespace mlxd
