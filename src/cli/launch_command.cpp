#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/json_fields.h"
#include "cli/launch_plan.h"
#include "http/client.h"
#include "server/runtime_file.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

bool is_installed(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "";
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(folder.size() + 1, rest.size()));
    if (!folder.empty() && ::access((std::filesystem::path(folder) / program).c_str(), X_OK) == 0)
      return true;
  }
  return false;
}

/// The models that the server offers to whoever has this key.
Result<std::vector<json::object>> models_of(const std::string& url, const std::string& key) {
  http::Client::Options options;
  options.headers.add("Authorization", "Bearer " + key);
  const http::Client client = TRY(http::Client::create(url, std::move(options)));
  const http::ClientResponse response = TRY(client.get("/v1/models"));
  if (response.status == 401)
    return Error(
        ErrorKind::kUnauthorized,
        "the server at " + url +
            " wants an API key: make one with 'mlxd key create NAME' and give it with --key or MLXD_KEY");
  if (response.status != 200)
    return Error(ErrorKind::kUnavailable, "the server at " + url + " answered " +
                                              std::to_string(response.status) + ": " + response.body);
  json::error_code code;
  const json::value answer = json::parse(response.body, code);
  if (code) return corrupt_data("the server at " + url + " did not answer with JSON");
  return objects_of(answer, "data");
}

/// The one that was asked for, else a loaded one that chats, else the only one.
Result<std::string> choose(const std::vector<json::object>& models, const std::string& wanted) {
  if (!wanted.empty()) return wanted;
  std::vector<std::string> chatting;
  for (const json::object& model : models) {
    const json::value* abilities = model.if_contains("capabilities");
    const bool chats = abilities != nullptr && abilities->is_array() &&
                       std::any_of(abilities->get_array().begin(), abilities->get_array().end(),
                                   [](const json::value& each) { return each == "chat"; });
    if (!chats) continue;
    if (text_of(model, "loaded") == "true") return text_of(model, "id");
    chatting.push_back(text_of(model, "id"));
  }
  if (chatting.size() == 1) return chatting.front();
  if (chatting.empty()) return not_found("the server has no model that chats: 'mlxd pull' brings one");
  std::string names;
  for (const std::string& name : chatting) names += (names.empty() ? "" : ", ") + name;
  return invalid_argument("say which model with --model: there are " + names, "model");
}

}  // namespace

Result<int> launch_command(const CommandContext& context, const LaunchOptions& options) {
  const auto server = read_runtime_file(context.state.root());
  if (!server)
    return Error(ErrorKind::kUnavailable,
                 "no server runs on " + context.state.root().string() + ": start one with 'mlxd serve'");
  const char* const key_variable = std::getenv("MLXD_KEY");
  LaunchWish wish{
      .agent = options.agent, .url = server->url, .model = {}, .key = {}, .arguments = options.arguments};
  // A server on this machine without accounts takes any key.
  wish.key = !options.key.empty() ? options.key : key_variable != nullptr ? key_variable : "mlxd";
  TRY(plan_launch(wish));  // before anything is asked
  wish.model = TRY(choose(TRY(models_of(wish.url, wish.key)), options.model));
  const LaunchPlan plan = TRY(plan_launch(wish));
  if (options.print) {
    context.console.write_line(shell_line(plan));
    return kExitOk;
  }
  if (!is_installed(plan.program)) {
    const auto agent = std::find_if(agents().begin(), agents().end(),
                                    [&](const AgentInfo& each) { return each.name == options.agent; });
    return not_found(std::string(agent->title) + " is not installed: " + std::string(agent->install));
  }
  for (const std::string& name : plan.unset) ::unsetenv(name.c_str());
  for (const auto& [name, value] : plan.environment) ::setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> arguments{const_cast<char*>(plan.program.c_str())};
  for (const std::string& argument : plan.arguments) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::execvp(plan.program.c_str(), arguments.data());
  return Error(ErrorKind::kIo, "cannot start " + plan.program + ": " + std::strerror(errno));
}

}  // namespace mlxd::cli
