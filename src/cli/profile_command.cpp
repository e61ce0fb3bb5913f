#include <boost/json/object.hpp>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "cli/commands.h"
#include "cli/json_fields.h"
#include "cli/json_text.h"
#include "cli/manage_client.h"
#include "cli/table.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

Result<int> list(const CommandContext& context, const ManageClient& client, bool as_json) {
  const json::value answer = TRY(client.get("/api/v1/profiles"));
  if (as_json) {
    context.console.write(pretty_json(answer));
    return kExitOk;
  }
  Table table({{"NAME"}, {"MODEL"}, {"DESCRIPTION"}});
  for (const json::object& profile : objects_of(answer, "profiles")) {
    std::string description = text_of(profile, "description");
    description = description.substr(0, description.find('\n'));
    table.add_row({text_of(profile, "name"), text_of(profile, "model"), description});
  }
  context.console.write(table.to_string());
  return kExitOk;
}

Result<std::string> read_all(const std::string& file) {
  std::ostringstream text;
  if (file == "-") {
    text << std::cin.rdbuf();
    return text.str();
  }
  std::ifstream stream(file);
  if (!stream) return not_found("cannot read " + file);
  text << stream.rdbuf();
  return text.str();
}

Result<int> import_file(const CommandContext& context, const ManageClient& client, const std::string& file) {
  const std::string text = TRY(read_all(file));
  const json::value profile =
      TRY(client.call("POST", "/api/v1/profiles/import", json::object{{"toml", text}}));
  context.console.write_line("made the profile " + text_of(profile.as_object(), "name"));
  return kExitOk;
}

}  // namespace

Result<int> profile_command(const CommandContext& context, const ProfileOptions& options) {
  const ManageClient client = TRY(ManageClient::open(context.state));
  const std::string path = "/api/v1/profiles/" + path_segment(options.name);
  if (options.verb == "list") return list(context, client, options.json);
  if (options.verb == "import") return import_file(context, client, options.name);
  if (options.verb == "export") {
    context.console.write(TRY(client.get_text(path + "/toml")));
    return kExitOk;
  }
  if (options.verb == "duplicate") {
    json::object body;
    if (!options.new_name.empty()) body["name"] = options.new_name;
    const json::value copy = TRY(client.call("POST", path + "/duplicate", body));
    context.console.write_line("made the profile " + text_of(copy.as_object(), "name"));
    return kExitOk;
  }
  TRY(client.call("DELETE", path, {}));
  context.console.write_line("removed the profile " + options.name);
  return kExitOk;
}

}  // namespace mlxd::cli
