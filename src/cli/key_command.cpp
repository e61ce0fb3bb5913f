#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value_from.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/json_fields.h"
#include "cli/json_text.h"
#include "cli/manage_client.h"
#include "cli/table.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

Result<int> list(const CommandContext& context, const ManageClient& client, bool as_json) {
  const json::value answer = TRY(client.get("/api/v1/keys"));
  if (as_json) {
    context.console.write(pretty_json(answer));
    return kExitOk;
  }
  Table table({{"NAME"}, {"KEY"}, {"ACCOUNT"}, {"PRIORITY"}, {"LAST USED"}, {"ID"}});
  for (const json::object& key : objects_of(answer, "keys"))
    table.add_row({text_of(key, "name"), text_of(key, "hint") + "…", text_of(key, "user"),
                   text_of(key, "priority"), age_of(key, "last_used_at", "never"), text_of(key, "id")});
  context.console.write(table.to_string());
  return kExitOk;
}

Result<std::string> owner_of(const ManageClient& client, const std::string& named) {
  if (!named.empty()) return named;
  const json::value answer = TRY(client.get("/api/v1/users"));
  const std::vector<json::object> users = objects_of(answer, "users");
  if (users.empty()) return not_found("there is no account yet: make one with 'mlxd user add EMAIL'");
  if (users.size() > 1)
    return invalid_argument("there are several accounts: say whose key it is with --user EMAIL");
  return text_of(users.front(), "id");
}

Result<int> create(const CommandContext& context, const ManageClient& client, const KeyOptions& options) {
  const std::string owner = TRY(owner_of(client, options.user));
  json::object body{{"name", options.key},
                    {"user", owner},
                    {"models", json::value_from(options.models)},
                    {"endpoints", json::value_from(options.endpoints)},
                    {"admin", options.admin},
                    {"cloud", options.cloud},
                    {"priority", options.priority},
                    {"requests_per_minute", options.requests_per_minute},
                    {"tokens_per_minute", options.tokens_per_minute},
                    {"max_concurrent", options.max_concurrent},
                    {"tokens_per_month", options.tokens_per_month}};
  if (options.expires_days > 0)
    body["expires_at"] = Clock::real().wall_seconds() + options.expires_days * 24 * 3600;
  const json::value key = TRY(client.call("POST", "/api/v1/keys", body));
  if (options.json) {
    context.console.write(pretty_json(key));
    return kExitOk;
  }
  // The key alone on standard output, for scripts.
  context.console.write_line(text_of(key.as_object(), "key"));
  context.console.write_error("mlxd: this is the only time that the key '" + options.key + "' is shown\n");
  return kExitOk;
}

Result<int> revoke(const CommandContext& context, const ManageClient& client, const std::string& named) {
  const json::value answer = TRY(client.get("/api/v1/keys"));
  std::vector<json::object> found;
  for (const json::object& key : objects_of(answer, "keys")) {
    const std::string hint = text_of(key, "hint");
    if (text_of(key, "id") == named || text_of(key, "name") == named ||
        (!hint.empty() && named.starts_with(hint)))
      found.push_back(key);
  }
  if (found.empty())
    return not_found("there is no key '" + named.substr(0, 100) + "': 'mlxd key list' shows all");
  if (found.size() > 1)
    return Error(ErrorKind::kConflict,
                 std::to_string(found.size()) + " keys are named so: give the id from 'mlxd key list'");
  TRY(client.call("DELETE", "/api/v1/keys/" + path_segment(text_of(found.front(), "id")), {}));
  context.console.write_line("revoked " + text_of(found.front(), "name"));
  return kExitOk;
}

}  // namespace

Result<int> key_command(const CommandContext& context, const KeyOptions& options) {
  const ManageClient client = TRY(ManageClient::open(context.state));
  if (options.verb == "list") return list(context, client, options.json);
  if (options.verb == "create") return create(context, client, options);
  return revoke(context, client, options.key);
}

}  // namespace mlxd::cli
