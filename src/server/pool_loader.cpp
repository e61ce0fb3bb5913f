#include "server/pool_loader.h"

#include <sys/stat.h>

#include <string_view>
#include <utility>

#include "base/log.h"
#include "server/pooled_model.h"
#include "workbench/machine.h"

namespace mlxd {
namespace {

ServedModelPtr serve_host(const std::shared_ptr<ModelHost>& host, const std::string& name) {
  struct stat facts {};
  const bool known = ::stat((host->path() / "config.json").c_str(), &facts) == 0;
  auto model = std::make_shared<ServedModel>();
  model->name = name;
  model->tokenizer = &host->tokenizer();
  model->chat_format = host->chat_format();
  model->grammars = &host->grammars();
  model->engine = &host->engine();
  model->adapters = &host->adapters();
  model->eos_tokens = host->eos_tokens();
  model->limits = host->limits();
  model->created = known ? static_cast<std::int64_t>(facts.st_mtime) : host->loaded_at();
  model->num_parameters = host->num_parameters();
  model->load_seconds = host->load_seconds();
  model->owner = host;
  return model;
}

// K/V for long contexts may take a quarter of a budget that the user gave unasked, and of one that follows
// the machine an eighth of what that is at the most: agents begin with prompts of 20,000 tokens.
MemoryShare share_of(const PoolSettings& settings) {
  return {.budget_bytes = settings.budget_bytes,
          .context_bytes = settings.spend_budget ? settings.budget_bytes / 4 : default_budget_bytes() / 8};
}

Result<std::unique_ptr<PooledModel>> load_host(const ModelSource& source, ModelPool::Load& load,
                                               ModelHostOptions options) {
  options.share = share_of(load.settings());
  options.share->choose_quota = [&load](const MemoryNeeds& needs) {
    load.enter(LoadStep::kPreparing);
    return load.settle(needs);
  };
  options.progress = [&load](float done) { load.enter(LoadStep::kReading, done); };
  options.stop = &load.stop();
  const std::shared_ptr<ModelHost> host = TRY(ModelHost::load(source.folder, std::move(options)));
  load.enter(LoadStep::kWarmingUp);
  TRY(host->engine().warm_up());
  ServedModelPtr model = serve_host(host, source.name);
  log::info("loaded {} in {:.2f} s on {}", model->name, model->load_seconds,
            model->engine->backend_info().name);
  return std::unique_ptr<PooledModel>(std::make_unique<ServedPooledModel>(std::move(model), host));
}

}  // namespace

std::string served_name(const std::filesystem::path& given) {
  std::error_code unknown;
  const std::filesystem::path absolute = std::filesystem::absolute(given, unknown);
  std::filesystem::path folder = (unknown ? given : absolute).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  constexpr std::string_view kPrefix = "models--";
  const std::filesystem::path snapshots = folder.parent_path();
  std::string repository = snapshots.parent_path().filename().string();
  if (snapshots.filename() != "snapshots" || !repository.starts_with(kPrefix))
    return folder.filename().string();
  repository.erase(0, kPrefix.size());
  if (const std::size_t separator = repository.find("--"); separator != std::string::npos)
    repository.replace(separator, 2, "/");
  return repository;
}

ModelPool::Options pool_of_hosts(ModelHostOptions options, const PoolSettings& settings) {
  if (options.compute_threads == nullptr) options.compute_threads = make_compute_threads(options.threads);
  ModelPool::Options pool;
  pool.settings = settings;
  pool.load = [options](const ModelSource& source, ModelPool::Load& load) {
    return load_host(source, load, options);
  };
  pool.estimate = [options](const ModelSource& source, const PoolSettings& current,
                            std::size_t measured_fixed_bytes) {
    ModelHostOptions shared = options;
    shared.share = share_of(current);
    return estimate_needs(source.folder, shared, measured_fixed_bytes);
  };
  return pool;
}

std::size_t default_budget_bytes() {
  const auto total = static_cast<std::size_t>(total_memory_bytes());
  return total == 0 ? SIZE_MAX : total / 5 * 4;
}

}  // namespace mlxd
