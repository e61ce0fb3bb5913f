#include "server/ollama_handlers.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <optional>
#include <utility>

#include "api/error_status.h"
#include "api/field_reader.h"
#include "api/json_text.h"
#include "api/ollama/model_requests.h"
#include "base/clock.h"
#include "catalog/json_reading.h"
#include "catalog/model_digest.h"
#include "server/access_gate.h"
#include "server/ignored_fields.h"
#include "server/pooled_model.h"

namespace mlxd {
namespace {

namespace json = boost::json;
namespace ollama = api::ollama;

constexpr int kNotImplemented = 501;
constexpr std::size_t kMaxBodyBytes = std::size_t{256} * 1024;
/// The version of Ollama's API that is spoken here, as its clients compare it with what they need.
constexpr std::string_view kApiVersion = "0.12.11";

http::Response json_response(std::string body) {
  http::Response response;
  response.body = std::move(body);
  return response;
}

bool may_see(const http::Exchange& exchange, const std::string& name, const std::string& model) {
  const std::shared_ptr<const ApiKey> key = caller_of(exchange).key;
  return key == nullptr || key_allows_model(*key, name, model);
}

json::object read_config(const std::filesystem::path& folder) {
  constexpr std::size_t kMaxConfigBytes = std::size_t{16} << 20U;
  const auto text = read_text_file(folder / "config.json", kMaxConfigBytes);
  if (!text.ok()) return {};
  auto object = parse_json_object(*text, "config.json");
  return object.ok() ? object.take_value() : json::object();
}

std::string license_text(const std::filesystem::path& folder, const std::string& name) {
  constexpr std::size_t kMaxLicenseBytes = std::size_t{1} << 20U;
  for (const char* file : {"LICENSE", "LICENSE.txt", "LICENSE.md"}) {
    auto text = read_text_file(folder / file, kMaxLicenseBytes);
    if (text.ok() && api::is_valid_utf8(*text)) return text.take_value();
  }
  return name;
}

http::Handler refuse_with(std::string message) {
  return [message = std::move(message)](const http::ExchangePtr& exchange) {
    exchange->respond_error(kNotImplemented, unsupported(message));
  };
}

}  // namespace

void OllamaHandlers::add(http::Router& router, const char* method, const char* path, Answer answer) {
  router.add(method, path,
             [this, answer](const http::ExchangePtr& exchange) {
               const bool posted = options_.catalog->try_post([this, answer, exchange] {
                 auto response = (this->*answer)(*exchange);
                 exchange->post([exchange, response = std::move(response)] {
                   if (response.ok()) return exchange->respond(*response);
                   exchange->respond_error(api::status_of(response.error().kind), response.error());
                 });
               });
               if (!posted)
                 exchange->respond_error(503, Error(ErrorKind::kOverloaded, "too many requests wait"), 1);
             },
             {.max_body_bytes = kMaxBodyBytes});
}

void OllamaHandlers::add_routes(http::Router& router) {
  router.add("GET", "/api/version", [](const http::ExchangePtr& exchange) {
    exchange->respond(
        json_response(R"({"version":")" + std::string(kApiVersion) + R"(","mlxd":")" + MLXD_VERSION + "\"}"));
  });
  add(router, "GET", "/api/tags", &OllamaHandlers::list);
  add(router, "GET", "/api/ps", &OllamaHandlers::list_loaded);
  add(router, "POST", "/api/show", &OllamaHandlers::show);
  add(router, "DELETE", "/api/delete", &OllamaHandlers::remove);
  add(router, "POST", "/api/copy", &OllamaHandlers::copy);
  pulls_.add_routes(router);
  for (const char* path : {"/api/embed", "/api/embeddings"})
    router.add("POST", path, refuse_with("this server has no embedding models yet"));
  router.add(
      "POST", "/api/create",
      refuse_with("models are not made from Modelfiles here: use a profile (POST /api/v1/profiles) for a "
                  "system prompt and parameters, 'mlxd import' for a GGUF, 'mlxd convert' to quantize"));
  router.add("POST", "/api/push",
             refuse_with("models are not pushed from here: upload to Hugging Face with 'hf upload'"));
  for (const char* method : {"HEAD", "POST"})
    router.add(method, "/api/blobs/{digest}",
               refuse_with("blobs are not taken here: 'mlxd import' makes a model of a GGUF"));
}

ollama::ModelEntry OllamaHandlers::describe(const std::string& name,
                                            const std::filesystem::path& folder) const {
  ollama::ModelEntry entry{.name = name};
  if (folder.empty()) return entry;
  if (auto facts = options_.catalog->facts_of(folder); facts.ok()) entry.facts = facts.take_value();
  if (auto digest = model_digest(folder); digest.ok()) entry.digest = digest.take_value();
  return entry;
}

Result<http::Response> OllamaHandlers::list(const http::Exchange& exchange) {
  std::vector<ollama::ModelEntry> all;
  for (const ModelShelf::Entry& entry : options_.shelf->list())
    all.push_back(describe(entry.name, entry.folder));
  const std::size_t num_models = all.size();
  for (const auto& [name, model] : options_.names->all()) {
    const std::optional<ModelSource> source = options_.shelf->resolve(model);
    const auto same = std::find_if(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(num_models),
                                   [&](const auto& entry) { return source && entry.name == source->name; });
    if (same == all.begin() + static_cast<std::ptrdiff_t>(num_models)) continue;
    ollama::ModelEntry named = *same;
    named.name = name;
    named.parent = source->name;
    all.push_back(std::move(named));
  }
  std::erase_if(all, [&](const ollama::ModelEntry& entry) {
    return !may_see(exchange, entry.name, entry.parent.empty() ? entry.name : entry.parent);
  });
  return json_response(ollama::encode_tags(all));
}

Result<http::Response> OllamaHandlers::list_loaded(const http::Exchange& exchange) {
  constexpr std::int64_t kNever = 9'000'000'000;
  const std::int64_t now = Clock::real().wall_seconds();
  std::vector<ollama::LoadedModel> all;
  for (const ModelPool::ModelStatus& status : options_.shelf->pool().status().models) {
    if (status.view.state != PoolPolicy::State::kReady || !may_see(exchange, status.name, status.name))
      continue;
    const PoolLease lease = options_.shelf->pool().peek(status.name);
    if (lease == nullptr) continue;  // it goes just now
    const ServedModelPtr model = served(lease);
    ollama::LoadedModel loaded{.entry = describe(status.name, status.folder)};
    const ModelMemory& memory = status.memory;
    loaded.size_bytes = memory.weight_bytes + memory.kv_bytes + memory.scratch_bytes + memory.adapter_bytes +
                        memory.tokenizer_bytes;
    if (!model->engine->backend_info().name.starts_with("cpu")) loaded.device_bytes = loaded.size_bytes;
    loaded.context_tokens = model->limits.context_tokens;
    const auto left = status.view.keep_alive_left;
    loaded.expires_at = left ? now + std::chrono::duration_cast<std::chrono::seconds>(*left).count() : kNever;
    all.push_back(std::move(loaded));
  }
  return json_response(ollama::encode_loaded(all));
}

Result<http::Response> OllamaHandlers::show(const http::Exchange& exchange) {
  const ollama::ShowRequest request = TRY(ollama::decode_show(exchange.request.body));
  const ModelNames::Meaning meaning = options_.names->resolve(request.model);
  const std::optional<ModelSource> source = options_.shelf->resolve(meaning.model);
  if (!source) return options_.shelf->unknown(request.model);
  if (!may_see(exchange, request.model, source->name))
    return Error(ErrorKind::kForbidden,
                 "the key may not use the model '" + request.model.substr(0, 200) + "'");
  ollama::ModelCard card{.entry = describe(source->name, source->folder)};
  if (meaning.model != request.model && ollama::without_latest(request.model) != source->name) {
    card.entry.name = ollama::without_latest(request.model);
    card.entry.parent = source->name;
  }
  if (!source->folder.empty()) {
    card.config = read_config(source->folder);
    card.chat_template = read_chat_template(source->folder);
    card.license = license_text(source->folder, card.entry.facts.license);
  }
  if (meaning.profile != nullptr) {
    auto defaults = api::parse_request_object(meaning.profile->defaults);
    if (defaults.ok()) card.defaults = defaults.take_value();
    if (const json::value* system = card.defaults.if_contains("system");
        system != nullptr && system->is_string())
      card.system = std::string(system->get_string());
  }
  http::Response response = json_response(ollama::encode_card(card));
  add_ignored(as_header(request.ignored), response);
  return response;
}

Result<http::Response> OllamaHandlers::remove(const http::Exchange& exchange) {
  const std::string asked = ollama::without_latest(TRY(ollama::decode_delete(exchange.request.body)));
  http::Response done = json_response("");
  done.content_type.clear();
  const std::vector<Alias> aliases = options_.names->aliases();
  if (std::any_of(aliases.begin(), aliases.end(), [&](const Alias& alias) { return alias.name == asked; })) {
    TRY(options_.names->remove_alias(asked));
    return done;
  }
  if (options_.names->profile(asked).ok())
    return Error(ErrorKind::kConflict,
                 "'" + asked.substr(0, 200) + "' is a profile: delete it with 'mlxd profile'", "model");
  const std::optional<ModelSource> source = options_.shelf->resolve(asked);
  if (!source) return options_.shelf->unknown(asked);
  TRY(options_.catalog->remove(source->name, {}));
  return done;
}

// A name more for the same files.
Result<http::Response> OllamaHandlers::copy(const http::Exchange& exchange) {
  const ollama::CopyRequest request = TRY(ollama::decode_copy(exchange.request.body));
  const std::string destination = ollama::without_latest(request.destination);
  const ModelNames::Meaning meaning = options_.names->resolve(request.source);
  const std::optional<ModelSource> source = options_.shelf->resolve(meaning.model);
  if (!source) return options_.shelf->unknown(request.source);
  for (const ModelShelf::Entry& entry : options_.shelf->list()) {
    if (entry.name == destination)
      return Error(ErrorKind::kConflict,
                   "there is a model '" + destination.substr(0, 200) + "': choose another name",
                   "destination");
  }
  TRY(options_.names->set_alias({destination, meaning.profile != nullptr ? request.source : source->name}));
  http::Response done = json_response("");
  done.content_type.clear();
  return done;
}

}  // namespace mlxd
