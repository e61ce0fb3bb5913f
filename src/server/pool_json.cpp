#include "server/pool_json.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>

namespace mlxd {
namespace {

namespace json = boost::json;

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
// Boost writes every digit.
double rounded(double value) { return std::round(value * 1000.0) / 1000.0; }

json::value keep_alive(const std::optional<KeepAlive>& value) {
  if (!value) return nullptr;
  return value->count() < 0 ? json::value(-1) : json::value(rounded(seconds(*value)));
}

json::object progress(const LoadEvent& event) {
  json::object object{{"step", std::string(to_string(event.step))},
                      {"elapsed_s", rounded(event.elapsed_seconds)}};
  if (event.step == LoadStep::kReading) object["fraction"] = rounded(static_cast<double>(event.fraction));
  if (!event.message.empty()) object["message"] = event.message;
  return object;
}

json::object model_object(const ModelPool::ModelStatus& status) {
  const PoolPolicy::View& view = status.view;
  const ModelMemory& memory = status.memory;
  const bool is_ready = view.state == PoolPolicy::State::kReady;
  json::object object{{"model", status.name}, {"state", state_of(status)}};
  object["in_use"] = view.leases;
  object["waiting_requests"] = view.waiting;
  object["pinned"] = view.pinned;
  object["preloaded"] = view.preloaded;
  object["closing"] = view.closing;
  object["keep_alive_left_s"] =
      view.keep_alive_left ? json::value(rounded(seconds(*view.keep_alive_left))) : json::value(nullptr);
  object["memory"] =
      json::object{{"reserved_bytes", view.quota_bytes},       {"least_bytes", view.needs.least_bytes},
                   {"weight_bytes", memory.weight_bytes},      {"kv_bytes", memory.kv_bytes},
                   {"scratch_bytes", memory.scratch_bytes},    {"adapter_bytes", memory.adapter_bytes},
                   {"tokenizer_bytes", memory.tokenizer_bytes}};
  if (is_ready) {
    object["running"] = status.stats.running;
    object["queued"] = status.stats.waiting;
    object["kv_pages"] = json::object{{"total", status.stats.pages_total},
                                      {"used", status.stats.pages_used},
                                      {"cached", status.stats.pages_cached}};
    object["generated_tokens"] = status.stats.generated_tokens;
    object["tokens_per_second"] = rounded(status.tokens_per_second);
    object["loaded_at"] = status.loaded_at;
  }
  object["requests"] = status.requests;
  object["loads"] = status.num_loads;
  object["load_seconds"] = rounded(status.load_seconds);
  object["progress"] = status.load ? json::value(progress(*status.load)) : json::value(nullptr);
  object["last_error"] = nullptr;
  if (view.failure)
    object["last_error"] = json::object{{"message", view.failure->message},
                                        {"code", std::string(to_string(view.failure->kind))},
                                        {"at", status.failed_at}};
  return object;
}

}  // namespace

std::string state_of(const ModelPool::ModelStatus& status) {
  switch (status.view.state) {
    case PoolPolicy::State::kLoading:
      return "loading";
    case PoolPolicy::State::kReady:
      return "ready";
    case PoolPolicy::State::kLeaving:
      return "unloading";
    case PoolPolicy::State::kUnloaded:
      break;
  }
  return status.view.wanted ? "waiting" : status.view.failure ? "failed" : "unloaded";
}

std::string encode_pool(const ModelPool::Status& status, const ProcessMemory& process) {
  const PoolSettings& settings = status.settings;
  json::array servers;
  for (const ModelPool::ModelStatus& model : status.models) servers.push_back(model_object(model));
  const bool is_limited = settings.budget_bytes != SIZE_MAX;
  const std::size_t free =
      settings.budget_bytes > status.committed_bytes ? settings.budget_bytes - status.committed_bytes : 0;
  const json::object pool{
      {"budget",
       json::object{{"bytes", is_limited ? json::value(settings.budget_bytes) : json::value(nullptr)},
                    {"from", status.follows_machine ? "machine" : "setting"},
                    {"reserved_bytes", status.committed_bytes},
                    {"job_bytes", status.reserved_bytes},
                    {"free_bytes", is_limited ? json::value(free) : json::value(nullptr)}}},
      {"settings", json::object{{"eviction", std::string(to_string(settings.eviction))},
                                {"keep_alive_s", keep_alive(settings.keep_alive)},
                                {"swap_wait_s", rounded(seconds(settings.swap_wait))}}},
      {"process", json::object{{"resident_bytes", process.resident_bytes},
                               {"anonymous_bytes", process.anonymous_bytes},
                               {"locked_bytes", process.locked_bytes},
                               {"mapped_file_bytes", process.mapped_file_bytes}}},
      {"waiting_requests", status.waiting},
      {"servers", std::move(servers)}};
  return json::serialize(pool);
}

std::string encode_pooled_model(const ModelPool::ModelStatus& status) {
  return json::serialize(model_object(status));
}

std::string encode_load_event(const std::string& model, const LoadEvent& event) {
  json::object object{{"model", model}};
  for (auto& [key, value] : progress(event)) object[key] = value;
  return json::serialize(object);
}

std::string encode_unloaded(const std::string& model) {
  return json::serialize(json::object{{"model", model}, {"step", "unloaded"}});
}

}  // namespace mlxd
