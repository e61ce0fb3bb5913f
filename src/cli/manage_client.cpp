#include "cli/manage_client.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "cli/settings.h"
#include "server/runtime_file.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

Result<http::Client> make_client(const std::string& url, const std::string& token) {
  http::Client::Options options;
  options.headers.add("Authorization", "Bearer " + token);
  options.read_timeout = std::chrono::seconds(60);
  return http::Client::create(url, std::move(options));
}

ErrorKind kind_of(int status) {
  switch (status) {
    case 400:
    case 413:
    case 415:
      return ErrorKind::kInvalidArgument;
    case 401:
      return ErrorKind::kUnauthorized;
    case 403:
      return ErrorKind::kForbidden;
    case 404:
      return ErrorKind::kNotFound;
    case 409:
      return ErrorKind::kConflict;
    case 429:
      return ErrorKind::kOverloaded;
    case 503:
      return ErrorKind::kUnavailable;
    default:
      return ErrorKind::kInternal;
  }
}

Error refusal(const http::ClientResponse& response) {
  json::error_code code;
  const json::value problem = json::parse(response.body, code);
  const json::object* object = code ? nullptr : problem.if_object();
  const json::value* detail = object == nullptr ? nullptr : object->if_contains("detail");
  if (detail == nullptr || !detail->is_string())
    return {kind_of(response.status), "the server answers with status " + std::to_string(response.status)};
  return {kind_of(response.status), std::string(detail->get_string())};
}

}  // namespace

std::string path_segment(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string segment;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      segment += c;
    } else {
      segment += '%';
      segment += kDigits[byte >> 4U];
      segment += kDigits[byte & 15U];
    }
  }
  return segment;
}

// The server that the runtime file names. Absent if it has ended: nobody listens there, or somebody else
// does, who knows nothing of its token.
Result<std::optional<ManageClient>> ManageClient::find_running(const StateFolder& state) {
  const auto running = read_runtime_file(state.root());
  if (!running) return std::optional<ManageClient>();
  ManageClient client(TRY(make_client(running->url, running->token)));
  const auto answer = client.client_.get("/api/v1/settings");
  if (answer.ok() && answer->status == 200) return std::optional<ManageClient>(std::move(client));
  if (answer.ok()
          ? answer->status == 401 || answer->status == 404
          : answer.error().kind == ErrorKind::kUnavailable || answer.error().kind == ErrorKind::kCorruptData)
    return std::optional<ManageClient>();
  return Error(ErrorKind::kUnavailable,
               "the server at " + running->url + " does not answer: " +
                   (answer.ok() ? "status " + std::to_string(answer->status) : answer.error().message));
}

Result<ManageClient> ManageClient::open_own(const StateFolder& state) {
  TRY(state.ensure());
  const std::string token = new_owner_token();
  ApiServer::Options options;
  options.http.host = "127.0.0.1";
  options.http.io_threads = 1;
  options.pool.load = [](const ModelSource& source,
                         ModelPool::Load&) -> Result<std::unique_ptr<PooledModel>> {
    return unsupported("no models are loaded here: " + source.folder.string());
  };
  options.pool.estimate = [](const ModelSource& source, const PoolSettings&,
                             std::size_t) -> Result<MemoryNeeds> {
    return unsupported("no models are loaded here: " + source.folder.string());
  };
  SettingPlaces places = TRY(SettingPlaces::read({}, state.config_file()));
  options.management = TRY(
      Management::open({.state_folder = state.root(), .places = std::move(places), .owner_token = token}));
  auto server = TRY(ApiServer::start(std::move(options)));
  const std::string url = "http://127.0.0.1:" + std::to_string(server->http().port());
  ManageClient client(TRY(make_client(url, token)));
  client.own_ = std::move(server);
  return client;
}

Result<ManageClient> ManageClient::open_running(const StateFolder& state) {
  std::optional<ManageClient> running = TRY(find_running(state));
  if (running) return std::move(*running);
  return Error(ErrorKind::kUnavailable, "no server runs on " + state.root().string() +
                                            ": start one with 'mlxd serve', or name its folder with --home");
}

Result<ManageClient> ManageClient::open(const StateFolder& state) {
  constexpr std::chrono::seconds kPatience{5};
  const TimePoint deadline = Clock::real().now() + kPatience;
  for (;;) {
    std::optional<ManageClient> running = TRY(find_running(state));
    if (running) return std::move(*running);
    auto own = open_own(state);
    // Another process has the folder and says nothing: another command, soon done, or a server about to
    // listen.
    if (own.ok() || own.error().kind != ErrorKind::kConflict || Clock::real().now() >= deadline) return own;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

Result<http::ClientResponse> ManageClient::exchange(std::string_view method, std::string_view path,
                                                    std::string_view body) const {
  http::ClientResponse response = TRY(client_.send(method, path, body));
  if (response.status >= 400) return refusal(response);
  return response;
}

Result<json::value> ManageClient::call(std::string_view method, std::string_view path,
                                       const std::optional<json::object>& body) const {
  const http::ClientResponse response =
      TRY(exchange(method, path, body ? json::serialize(*body) : std::string()));
  if (response.body.empty()) return json::value(nullptr);
  json::error_code code;
  json::value value = json::parse(response.body, code);
  if (code) return corrupt_data("the server's answer is no JSON: " + code.message());
  return value;
}

Result<std::string> ManageClient::get_text(std::string_view path) const {
  return TRY(exchange("GET", path, {})).body;
}

}  // namespace mlxd::cli
