// mlxd_scripted: the server with models that say what a script tells them; for tests, never installed.
// Tokenizers, templates, grammars, engine, pages, dialects and HTTP are the program's own; in place of
// weights there is a backend that makes the script's next token the likeliest, so that sampling and
// constraints have their say, and fails a step that reads a wrong page.
//
//   mlxd_scripted --home FOLDER [--strict] (--script FILE --model FOLDER)...
//
// Each model says the script that was named last before it. Listens on a free port of the loopback address
// and prints the program's ready line.
#include <unistd.h>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "engine/testing/fake_backend.h"
#include "script.h"
#include "server/api_server.h"
#include "server/pooled_model.h"
#include "server/runtime_file.h"
#include "server/stop_signal.h"
#include "text/json_file.h"

namespace mlxd::testing {
namespace {

constexpr std::int32_t kContextTokens = 131072;
constexpr std::int32_t kNumPages = 3 * kContextTokens / kPageTokens;

struct ServerOptions {
  struct Model {
    std::filesystem::path script, folder;
  };
  std::filesystem::path home;
  std::vector<Model> models;
  bool strict = false;
};

Result<ServerOptions> read_arguments(const std::vector<std::string>& arguments) {
  ServerOptions options;
  std::filesystem::path script;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "--strict") {
      options.strict = true;
      continue;
    }
    if (word != "--home" && word != "--script" && word != "--model")
      return invalid_argument("unknown argument '" + word + "'");
    if (++i == arguments.size()) return invalid_argument(word + " needs a value");
    if (word == "--home") options.home = arguments[i];
    if (word == "--script") script = arguments[i];
    if (word == "--model") options.models.push_back({script, arguments[i]});
  }
  const bool complete =
      !options.home.empty() && !options.models.empty() && !options.models.front().script.empty();
  if (!complete)
    return invalid_argument(
        "usage: mlxd_scripted --home FOLDER [--strict] (--script FILE --model FOLDER)...");
  return options;
}

/// A model's text, and an engine that has no weights.
struct ScriptedModel {
  explicit ScriptedModel(Tokenizer opened) : tokenizer(std::move(opened)) {}

  Tokenizer tokenizer;
  std::optional<ChatFormat> chat_format;
  std::optional<GrammarLibrary> grammars;
  std::unique_ptr<ScriptSpeaker> speaker;
  std::unique_ptr<EngineThread> engine;
};

Result<std::vector<TokenId>> read_end_tokens(const std::filesystem::path& folder) {
  const boost::json::object config = TRY(read_json_file(folder / "config.json"));
  std::vector<TokenId> tokens;
  const boost::json::value* const value = config.if_contains("eos_token_id");
  if (value != nullptr && value->is_int64()) tokens.push_back(static_cast<TokenId>(value->get_int64()));
  if (tokens.empty())
    return Error(ErrorKind::kCorruptData,
                 (folder / "config.json").string() + ": eos_token_id is no token id");
  return tokens;
}

Result<ServedModelPtr> load_model(const std::filesystem::path& folder, Script script) {
  auto owner = std::make_shared<ScriptedModel>(TRY(Tokenizer::open(folder)));
  owner->chat_format = TRY(ChatFormat::open(folder, owner->tokenizer));
  std::vector<TokenId> end_tokens = TRY(read_end_tokens(folder));
  for (const TokenId token : owner->chat_format->end_tokens(owner->tokenizer)) end_tokens.push_back(token);
  const std::int32_t vocab_size = owner->tokenizer.vocab_size();
  owner->grammars.emplace(owner->tokenizer, vocab_size, end_tokens);
  owner->speaker = std::make_unique<ScriptSpeaker>(std::move(script), owner->tokenizer, end_tokens.front());
  FakeBackend::Options backend;
  backend.vocab_size = vocab_size;
  backend.script = [speaker = owner->speaker.get()](std::span<const TokenId> prefix) {
    return speaker->next(prefix);
  };
  EngineOptions engine;
  engine.num_pages = kNumPages;
  engine.speculation.method = SpeculationOptions::Method::kOff;
  owner->engine = TRY(EngineThread::start(
      [backend]() -> Result<std::unique_ptr<Backend>> {
        return std::unique_ptr<Backend>(std::make_unique<FakeBackend>(backend));
      },
      engine));
  auto model = std::make_shared<ServedModel>();
  model->name = folder.filename().string();
  model->tokenizer = &owner->tokenizer;
  model->chat_format = &*owner->chat_format;
  model->grammars = &*owner->grammars;
  model->engine = owner->engine.get();
  model->eos_tokens = std::move(end_tokens);
  model->limits = {.vocab_size = vocab_size, .context_tokens = kContextTokens};
  model->created = Clock::real().wall_seconds();
  model->owner = owner;
  return ServedModelPtr(std::move(model));
}

ModelPool::Options pool_of_none() {
  ModelPool::Options pool;
  pool.load = [](const ModelSource&, ModelPool::Load&) -> Result<std::unique_ptr<PooledModel>> {
    return not_found("scripted models are given at the start");
  };
  pool.estimate = [](const ModelSource&, const PoolSettings&, std::size_t) -> Result<MemoryNeeds> {
    return not_found("scripted models are given at the start");
  };
  return pool;
}

Result<void> serve(const ServerOptions& options) {
  TRY(log::configure("warn"));
  const std::unique_ptr<StopSignal> signal = TRY(StopSignal::create());
  const std::string owner_token = new_owner_token();
  ApiServer::Options server_options;
  server_options.http.port = 0;
  server_options.http.on_drained = [&signal] { signal->ring(StopSignal::Ring::kDrained); };
  server_options.pool = pool_of_none();
  server_options.strict = options.strict;
  server_options.management =
      TRY(Management::open({.state_folder = options.home, .owner_token = owner_token}));
  const std::unique_ptr<ApiServer> server = TRY(ApiServer::start(std::move(server_options)));
  for (const ServerOptions::Model& model : options.models)
    TRY(server->models().put(TRY(load_model(model.folder, TRY(Script::read(model.script))))));
  server->set_ready();
  const std::string url = "http://127.0.0.1:" + std::to_string(server->http().port());
  TRY(write_runtime_file(options.home, {url, static_cast<std::int64_t>(::getpid()), owner_token}));
  std::printf("mlxd is ready at %s\n", url.c_str());
  std::fflush(stdout);
  while (signal->wait(std::nullopt) != StopSignal::Ring::kStop) {
  }
  server->begin_drain();
  signal->wait(Clock::real().now() + std::chrono::seconds(10));
  remove_runtime_file(options.home, owner_token);
  return {};
}

}  // namespace
}  // namespace mlxd::testing

int main(int argc, char** argv) {
  const auto options = mlxd::testing::read_arguments(std::vector<std::string>(argv + 1, argv + argc));
  const auto served = options.ok() ? mlxd::testing::serve(*options) : mlxd::Result<void>(options.error());
  if (served.ok()) return 0;
  std::fprintf(stderr, "mlxd_scripted: %s\n", served.error().message.c_str());
  return 1;
}
