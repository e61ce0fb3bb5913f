#include "server/app.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/log_files.h"
#include "http/origin_policy.h"
#include "runtime/free_memory.h"
#include "server/api_server.h"
#include "server/pool_loader.h"
#include "server/pool_settings.h"
#include "server/runtime_file.h"
#include "server/stop_signal.h"

namespace mlxd {
namespace {

// Each connection is a descriptor, and systems give few of them unasked.
void raise_descriptor_limit() {
  constexpr rlim_t kWanted = 16384;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kWanted) return;
  limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? kWanted : std::min(kWanted, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::string url_of(const std::string& host, std::uint16_t port) {
  const bool bare_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  return "http://" + (bare_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace

struct App::Impl {
  AppOptions options;
  std::string url;
  std::string owner_token;
  std::unique_ptr<StopSignal> signal;  // before the server, which rings it
  std::unique_ptr<ApiServer> server;
  std::atomic<ApiServer*> serving{nullptr};  // for threads that may run before `server` is set

  ~Impl() {
    if (!options.state_folder.empty()) remove_runtime_file(options.state_folder, owner_token);
  }
  Result<void> open_management(ApiServer::Options& server_options);
  void load_profiles();
  void change_pool(const Settings& before, const Settings& now);
};

// A budget that the loaded models do not fit into is told of in the log, and by the next start's loads.
void App::Impl::change_pool(const Settings& before, const Settings& now) {
  ApiServer* listening = serving;
  if (listening == nullptr) return;
  ModelPool& pool = listening->models().pool();
  const ModelPool::Status status = pool.status();
  PoolPlan plan{.settings = status.settings, .follows_machine = status.follows_machine};
  if (!take_changes(before, now, plan)) return;
  if (const auto changed = pool.set_settings(plan.settings, plan.follows_machine); !changed.ok())
    log::error("the pool of models keeps its settings: {}", changed.error().message);
}

Result<void> App::Impl::open_management(ApiServer::Options& server_options) {
  owner_token = new_owner_token();
  server_options.management = TRY(Management::open({.state_folder = options.state_folder,
                                                    .places = options.places,
                                                    .loopback = http::is_loopback_host(options.host),
                                                    .owner_token = owner_token}));
  server_options.management->settings().on_change([this](const Settings& before, const Settings& now) {
    if (const auto configured = log::configure(now.log_level()); !configured.ok())
      log::error("{}", configured.error().message);
    if (ApiServer* listening = serving; listening != nullptr) {
      listening->set_timeouts(std::chrono::seconds(now.request_timeout_s()),
                              std::chrono::seconds(now.batch_timeout_s()));
      listening->http().set_idle_timeout(std::chrono::seconds(now.idle_timeout_s()));
    }
    change_pool(before, now);
  });
  return {};
}

// In the background: whoever asks meanwhile waits for the same load.
void App::Impl::load_profiles() {
  for (const Profile& profile : server->management().names().profiles()) {
    if (!profile.auto_load) continue;
    server->models().find(server->management().names().resolve(profile.name).model, {}, {},
                          [name = profile.name](const Result<AskedModel>& asked) {
                            if (!asked.ok())
                              log::warn("profile {} is not loaded: {}", name, asked.error().message);
                          });
  }
}

Result<std::unique_ptr<App>> App::start(AppOptions options) {
  TRY(log::configure(options.log_level));
  if (!options.state_folder.empty() && options.log_files > 0)
    TRY(log::keep_files(options.state_folder / "logs", options.log_file_bytes, options.log_files));
  raise_descriptor_limit();
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  const AppOptions& given = impl->options;
  impl->signal = TRY(StopSignal::create());

  ModelHostOptions host_options;
  host_options.backend = given.backend;
  host_options.threads = given.threads;
  host_options.context_tokens = given.context_tokens;
  host_options.kv_format = given.kv_format;
  host_options.activation_bits = given.activation_bits;
  host_options.quantize = given.quantize;
  host_options.max_running = given.max_running;
  host_options.speculation = given.speculation;
  host_options.draft_model = given.draft_model;
  host_options.adapters = given.adapters;
  host_options.adapter_bytes = given.adapter_bytes;

  ApiServer::Options server_options;
  server_options.http.host = given.host;
  server_options.http.port = given.port;
  server_options.http.max_body_bytes = given.max_body_bytes;
  server_options.http.allowed_origins = given.allowed_origins;
  server_options.http.on_drained = [signal = impl->signal.get()] {
    signal->ring(StopSignal::Ring::kDrained);
  };
  server_options.models_folder = given.models_folder;
  server_options.hub_cache = given.hub_cache;
  server_options.strict = given.strict;
  server_options.request_timeout = given.request_timeout;
  server_options.batch_timeout = given.batch_timeout;
  server_options.http.idle_timeout = given.idle_timeout;
  server_options.runs_jobs = true;
  server_options.job_host = host_options;
  PoolSettings pool;
  pool.budget_bytes = given.memory_bytes > 0 ? given.memory_bytes : default_budget_bytes();
  pool.spend_budget = given.memory_bytes > 0;
  pool.eviction = given.eviction;
  pool.keep_alive = given.keep_alive;
  pool.swap_wait = given.swap_wait;
  server_options.pool = pool_of_hosts(std::move(host_options), pool);
  if (given.memory_bytes == 0) server_options.pool.free_memory = free_memory_bytes;
  TRY(impl->open_management(server_options));
  impl->server = TRY(ApiServer::start(std::move(server_options)));
  impl->serving = impl->server.get();
  impl->url = url_of(given.host, impl->server->http().port());
  // Management answers while models are loading.
  if (!given.state_folder.empty())
    TRY(write_runtime_file(given.state_folder,
                           {impl->url, static_cast<std::int64_t>(::getpid()), impl->owner_token}));
  ModelShelf& shelf = impl->server->models();
  for (const std::filesystem::path& folder : given.models) TRY(shelf.load_now(folder));
  // Nobody asked for these, so one that cannot be loaded is no reason not to serve.
  for (const std::filesystem::path& folder : given.first_models)
    if (const auto loaded = shelf.load_now(folder, false); !loaded.ok())
      log::warn("no model is loaded yet: {}", loaded.error().message);
  impl->load_profiles();
  impl->server->set_ready();
  // A model that cannot be loaded is told of in the log and by GET /api/v1/servers; the others are served.
  for (const std::filesystem::path& folder : given.preload) {
    const ModelSource source = TRY(shelf.add_folder(folder));
    if (const auto begun = shelf.pool().preload(source, std::nullopt, true); !begun.ok())
      log::error("cannot preload model {}: {}", source.name, begun.error().message);
  }
  return std::unique_ptr<App>(new App(std::move(impl)));
}

App::App(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
App::~App() = default;

std::uint16_t App::port() const { return impl_->server->http().port(); }
const std::string& App::url() const { return impl_->url; }
std::string App::ready_line() const { return "mlxd is ready at " + impl_->url; }
std::string App::setup_link() const {
  const std::string token = impl_->server->management().accounts().setup_token();
  return token.empty() ? std::string() : impl_->url + "/#setup=" + token;
}
void App::stop() { impl_->signal->ring(StopSignal::Ring::kStop); }

bool App::run() {
  while (impl_->signal->wait(std::nullopt) != StopSignal::Ring::kStop) {
  }
  log::info("stopping: running requests may finish");
  impl_->server->begin_drain();
  const auto last = impl_->signal->wait(Clock::real().now() + impl_->options.drain_limit);
  const bool drained = last == StopSignal::Ring::kDrained;
  if (!drained) log::warn(last ? "stopping at once" : "the time to finish is over: cutting what still runs");
  return drained;
}

}  // namespace mlxd
