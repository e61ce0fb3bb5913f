#include "api/manage/pool_requests.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <limits>

#include "api/field_reader.h"
#include "api/keep_alive.h"

namespace mlxd::api::manage {
namespace {

namespace json = boost::json;

Result<void> read_model(const json::value& value, std::string_view field, PoolLoad& load) {
  load.model = TRY(read_string(value, field));
  return {};
}

Result<void> read_load_keep_alive(const json::value& value, std::string_view field, PoolLoad& load) {
  load.keep_alive = TRY(read_duration(value, field));
  return {};
}

Result<void> read_pin(const json::value& value, std::string_view field, PoolLoad& load) {
  load.pin = TRY(read_boolean(value, field));
  return {};
}

Result<void> read_memory(const json::value& value, std::string_view field, PoolChange& change) {
  if (!value.is_string()) {
    const std::int64_t bytes = TRY(read_integer(value, field, 0, std::numeric_limits<std::int64_t>::max()));
    change.memory = MemorySize{.bytes = static_cast<std::uint64_t>(bytes)};
    return {};
  }
  const auto parsed = parse_memory_amount(TRY(read_string(value, field)));
  if (!parsed.ok())
    return invalid_argument(std::string(field) + ": " + parsed.error().message, std::string(field));
  change.memory = *parsed;
  return {};
}

Result<void> read_eviction(const json::value& value, std::string_view field, PoolChange& change) {
  change.eviction = TRY(read_string(value, field));
  return {};
}

Result<void> read_change_keep_alive(const json::value& value, std::string_view field, PoolChange& change) {
  change.keep_alive = TRY(read_duration(value, field));
  return {};
}

Result<void> read_swap_wait(const json::value& value, std::string_view field, PoolChange& change) {
  change.swap_wait = TRY(read_duration(value, field));
  if (change.swap_wait->count() >= 0) return {};
  return invalid_argument("swap_wait is " + shown(value) + ", must not be negative", std::string(field));
}

constexpr Meaning kKeepAliveMeaning{
    "How long models stay loaded that nobody uses: seconds or a text like \"5m\"; negative: for good.",
    typed("number|string")};
constexpr std::string_view kEvictions[] = {"lru", "lfu", "ttl"};

constexpr Field<PoolLoad> kLoadFields[] = {
    {"model", FieldUse::kRequired, read_model, {"The model to load.", text()}},
    {"keep_alive", FieldUse::kHonoured, read_load_keep_alive, kKeepAliveMeaning},
    {"pin", FieldUse::kHonoured, read_pin, {"Whether it stays whatever else is asked for.", boolean()}},
};

constexpr Field<PoolChange> kChangeFields[] = {
    {"memory",
     FieldUse::kHonoured,
     read_memory,
     {"What models may take together: bytes, \"8GB\" or \"50%\"; 0: chosen by the program.",
      typed("integer|string")}},
    {"eviction", FieldUse::kHonoured, read_eviction, {"Which model goes first.", one_of(kEvictions)}},
    {"keep_alive", FieldUse::kHonoured, read_change_keep_alive, kKeepAliveMeaning},
    {"swap_wait",
     FieldUse::kHonoured,
     read_swap_wait,
     {"How long a request waits for the room that its model needs.", typed("number|string")}},
};

}  // namespace

std::vector<FieldInfo> pool_load_infos() { return infos_of<PoolLoad>(kLoadFields); }
std::vector<FieldInfo> pool_change_infos() { return infos_of<PoolChange>(kChangeFields); }

Result<PoolLoad> decode_pool_load(std::string_view body) {
  PoolLoad load;
  TRY(read_fields<PoolLoad>(TRY(parse_request_object(body)), kLoadFields, load));
  if (load.model.empty()) return missing_field("model");
  return load;
}

Result<PoolChange> decode_pool_change(std::string_view body) {
  PoolChange change;
  const json::object object = TRY(parse_request_object(body));
  TRY(read_fields<PoolChange>(object, kChangeFields, change));
  for (const auto& [key, value] : object) {
    std::string name(key);
    std::replace(name.begin(), name.end(), '_', '-');
    change.settings.emplace(name,
                            value.is_string() ? std::string(value.get_string()) : json::serialize(value));
  }
  return change;
}

Result<bool> decode_unload_mode(std::string_view query) {
  if (query.empty() || query == "mode=wait") return false;
  if (query == "mode=cancel") return true;
  return invalid_argument(
      "the query is '" + std::string(query.substr(0, 60)) + "', must be mode=wait or mode=cancel", "mode");
}

}  // namespace mlxd::api::manage
