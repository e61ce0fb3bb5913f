#include "server/runtime_file.h"

#include <unistd.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <sstream>
#include <system_error>

#include "security/private_file.h"
#include "security/token.h"

namespace mlxd {
namespace {

namespace json = boost::json;

std::filesystem::path file_in(const std::filesystem::path& state_folder) {
  return state_folder / "server.json";
}

std::optional<RuntimeFacts> read_file(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  json::error_code code;
  const json::value value = json::parse(text.str(), code);
  const json::object* object = code ? nullptr : value.if_object();
  if (object == nullptr) return std::nullopt;
  const json::value* url = object->if_contains("url");
  const json::value* process = object->if_contains("process");
  const json::value* token = object->if_contains("token");
  if (url == nullptr || !url->is_string() || process == nullptr || !process->is_int64() || token == nullptr ||
      !token->is_string())
    return std::nullopt;
  return RuntimeFacts{std::string(url->get_string()), process->get_int64(), std::string(token->get_string())};
}

}  // namespace

std::string new_owner_token() { return random_token(32); }

Result<void> write_runtime_file(const std::filesystem::path& state_folder, const RuntimeFacts& facts) {
  const json::object object{
      {"url", json::string(facts.url)}, {"process", facts.process}, {"token", json::string(facts.token)}};
  return write_private_file(file_in(state_folder), json::serialize(object) + "\n");
}

void remove_runtime_file(const std::filesystem::path& state_folder, const std::string& token) {
  const auto facts = read_file(file_in(state_folder));
  std::error_code ignored;
  if (facts && facts->token == token) std::filesystem::remove(file_in(state_folder), ignored);
}

std::optional<RuntimeFacts> read_runtime_file(const std::filesystem::path& state_folder) {
  auto facts = read_file(file_in(state_folder));
  if (!facts || facts->process <= 0) return std::nullopt;
  if (::kill(static_cast<pid_t>(facts->process), 0) != 0 && errno == ESRCH) return std::nullopt;
  return facts;
}

}  // namespace mlxd
