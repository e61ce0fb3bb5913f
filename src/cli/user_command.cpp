#include <boost/json/object.hpp>
#include <ctime>
#include <iostream>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/json_fields.h"
#include "cli/json_text.h"
#include "cli/manage_client.h"
#include "cli/password_input.h"
#include "cli/table.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

Result<int> list(const CommandContext& context, const ManageClient& client, bool as_json) {
  const json::value answer = TRY(client.get("/api/v1/users"));
  if (as_json) {
    context.console.write(pretty_json(answer));
    return kExitOk;
  }
  Table table({{"EMAIL"}, {"NAME"}, {"ROLE"}, {"STATUS"}, {"LAST LOGIN"}});
  for (const json::object& user : objects_of(answer, "users"))
    table.add_row({text_of(user, "email"), text_of(user, "name"), text_of(user, "role"),
                   text_of(user, "status"), age_of(user, "last_login_at", "never")});
  context.console.write(table.to_string());
  return kExitOk;
}

Result<int> add(const CommandContext& context, const ManageClient& client, const UserOptions& options) {
  const std::string password = TRY(read_secret(context.console, "password", true));
  json::object body{{"email", options.email}, {"password", password}};
  if (!options.name.empty()) body["name"] = options.name;
  if (!options.role.empty()) body["role"] = options.role;
  const json::value user = TRY(client.call("POST", "/api/v1/users", body));
  if (options.json)
    context.console.write(pretty_json(user));
  else
    context.console.write_line("made the account " + text_of(user.as_object(), "email") + ", role " +
                               text_of(user.as_object(), "role"));
  return kExitOk;
}

Result<int> change(const CommandContext& context, const ManageClient& client, const std::string& path,
                   json::object changes) {
  const json::value user = TRY(client.call("PATCH", path, std::move(changes)));
  context.console.write_line(text_of(user.as_object(), "email") + " is now " +
                             text_of(user.as_object(), "status") + ", role " +
                             text_of(user.as_object(), "role"));
  return kExitOk;
}

Result<int> remove(const CommandContext& context, const ManageClient& client, const std::string& path,
                   const UserOptions& options) {
  if (!options.yes) {
    if (!context.console.in_is_terminal())
      return invalid_argument("this removes the account's keys and chats too: say --yes");
    context.console.write_error("Remove " + options.email + " with its keys and chats? [y/N] ");
    std::string line;
    std::getline(std::cin, line);
    if (line != "y" && line != "Y" && line != "yes") return invalid_argument("nothing was removed");
  }
  const json::value answer = TRY(client.call("DELETE", path, {}));
  context.console.write_line("removed " + options.email + " with " +
                             text_of(answer.as_object(), "keys_removed") + " keys and " +
                             text_of(answer.as_object(), "chats_removed") + " chats");
  return kExitOk;
}

}  // namespace

Result<int> user_command(const CommandContext& context, const UserOptions& options) {
  const ManageClient client = TRY(ManageClient::open(context.state));
  const std::string path = "/api/v1/users/" + path_segment(options.email);
  if (options.verb == "list") return list(context, client, options.json);
  if (options.verb == "add") return add(context, client, options);
  if (options.verb == "approve" || options.verb == "enable")
    return change(context, client, path, {{"status", "active"}});
  if (options.verb == "disable") return change(context, client, path, {{"status", "disabled"}});
  if (options.verb == "role") return change(context, client, path, {{"role", options.role}});
  if (options.verb == "delete") return remove(context, client, path, options);
  const std::string password = TRY(read_secret(context.console, "new password", true));
  TRY(client.call("POST", path + "/password", json::object{{"new_password", password}}));
  context.console.write_line(options.email + " has a new password; its sessions have ended");
  return kExitOk;
}

}  // namespace mlxd::cli
