#include <spawn.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/model_loader.h"
#include "server/app.h"
#include "server/pool_settings.h"

extern char** environ;

namespace mlxd::cli {
namespace {

// What to load at once: the models asked for, else the one that `mlxd run` would take, else none.
Result<std::vector<FoundModel>> models_to_load(const CommandContext& context, const Settings& settings) {
  const ModelFinder finder = make_finder(context.state, settings);
  std::vector<FoundModel> models;
  for (const std::string& name : settings.models()) models.push_back(TRY(finder.find(name)));
  if (!settings.models().empty()) return models;
  auto chosen = choose_model(finder, context.state, {});
  if (chosen) return std::vector<FoundModel>{chosen.take_value()};
  context.console.write_error("mlxd: no model is loaded yet: " + chosen.error().message + "\n");
  return models;
}

// The models to begin with, and what the pool does with memory.
Result<void> apply_pool(const CommandContext& context, const Settings& settings,
                        const std::vector<FoundModel>& models, AppOptions& app_options) {
  // One that was not asked for by name may leave when memory is needed.
  auto& at_once = settings.models().empty() ? app_options.first_models : app_options.models;
  for (const FoundModel& model : models) {
    if (const auto fits = check_memory(settings, model); fits.ok())
      at_once.push_back(model.path);
    else if (!settings.models().empty())
      return fits.error();
    else
      context.console.write_error("mlxd: no model is loaded yet: " + fits.error().message + "\n");
  }
  const ModelFinder finder = make_finder(context.state, settings);
  for (const std::string& name : settings.preload())
    app_options.preload.push_back(TRY(finder.find(name)).path);
  app_options.memory_bytes = static_cast<std::size_t>(memory_budget(settings));
  app_options.eviction = eviction_of(settings.eviction());
  app_options.keep_alive = settings.keep_alive();
  app_options.swap_wait = std::chrono::duration_cast<std::chrono::milliseconds>(settings.swap_wait());
  return {};
}

Result<void> open_browser(const std::string& url) {
#ifdef __APPLE__
  std::string program = "open";
#else
  std::string program = "xdg-open";
#endif
  std::string address = url;
  std::array<char*, 3> arguments{program.data(), address.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1 /* O_WRONLY */, 0);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t child = 0;
  const int error = posix_spawnp(&child, program.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return io_error("cannot open the browser with " + program, error);
  return {};
}

}  // namespace

Result<int> serve_command(const CommandContext& context, const ServeOptions& options) {
  const auto resolved = resolve_settings(options.flags, context.state);
  if (!resolved) {
    context.console.report_error(resolved.error().message);
    return exit_code_of(resolved.error());
  }
  const Settings& settings = *resolved;
  TRY(log::configure(settings.log_level()));
  TRY(context.state.ensure());
  const std::vector<FoundModel> models = TRY(models_to_load(context, settings));

  AppOptions app_options;
  app_options.host = settings.host();
  app_options.port = settings.port();
  app_options.models_folder = context.state.models();
  app_options.hub_cache = hub_cache_folder();
  app_options.backend = settings.backend();
  app_options.threads = settings.threads();
  app_options.context_tokens = settings.context_tokens();
  TRY(apply_pool(context, settings, models, app_options));
  app_options.strict = settings.strict();
  app_options.kv_format = settings.kv_format();
  app_options.activation_bits = settings.activation_bits();
  app_options.quantize = TRY(quantization_at_load(settings));
  app_options.speculation = settings.speculation();
  app_options.draft_model = TRY(find_draft_model(context, settings));
  app_options.adapters = TRY(find_adapter_places(context, settings));
  app_options.adapter_bytes = static_cast<std::size_t>(settings.adapter_bytes());
  app_options.request_timeout = std::chrono::seconds(settings.request_timeout_s());
  app_options.batch_timeout = std::chrono::seconds(settings.batch_timeout_s());
  app_options.idle_timeout = std::chrono::seconds(settings.idle_timeout_s());
  app_options.log_level = settings.log_level();
  app_options.log_files = static_cast<std::size_t>(settings.log_files());
  app_options.log_file_bytes = static_cast<std::size_t>(settings.log_file_bytes());
  app_options.max_body_bytes = static_cast<std::size_t>(settings.max_body_bytes());
  app_options.drain_limit = std::chrono::seconds(settings.drain_timeout_s());
  app_options.allowed_origins = settings.allowed_origins();
  app_options.state_folder = context.state.root();
  app_options.places = TRY(SettingPlaces::read(options.flags, context.state.config_file()));
  const auto app = TRY(App::start(std::move(app_options)));

  context.console.write_line(app->ready_line());
  if (const std::string link = app->setup_link(); !link.empty())
    context.console.write_error("mlxd: there is no account yet; the first one is made at " + link +
                                " or with 'mlxd user add EMAIL'\n");
  if (settings.open_browser())
    if (const auto opened = open_browser(app->url()); !opened)
      context.console.report_error(opened.error().message);
  return app->run() ? kExitOk : kExitFailure;
}

}  // namespace mlxd::cli
