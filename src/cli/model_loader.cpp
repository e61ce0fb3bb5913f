#include "cli/model_loader.h"

#include <limits>
#include <utility>
#include <vector>

#include "cli/format.h"
#include "cli/progress.h"
#include "workbench/model_facts.h"

namespace mlxd::cli {
namespace {

// Pages for one conversation of ordinary length must be left.
constexpr std::uint64_t kLeastKvBytes = std::uint64_t{16} << 20U;

}  // namespace

Result<ModelFinder> make_finder(const StateFolder& state) {
  return make_finder(state, TRY(resolve_settings({}, state)));
}

ModelFinder make_finder(const StateFolder& state, const Settings& settings) {
  std::vector<std::filesystem::path> added;
  for (const std::string& folder : settings.models_folders()) added.push_back(expand_home(folder));
  return {state.models(), hub_cache_folder(), std::move(added)};
}

Result<FoundModel> choose_model(const ModelFinder& finder, const StateFolder& state,
                                const std::string& name) {
  if (!name.empty()) return finder.find(name);
  const std::vector<FoundModel> models = finder.list();
  if (models.size() == 1) return models.front();
  if (const auto last = state.last_model()) {
    auto found = finder.find(*last);
    if (found) return found;
  }
  if (models.empty())
    return not_found("there are no models in " + finder.models_folder().string() + " nor in " +
                     finder.hub_cache().string() +
                     ": get one with 'mlxd pull ORG/NAME' or 'mlxd import FILE.gguf'");
  std::string names;
  for (const FoundModel& model : models) names += (names.empty() ? "" : ", ") + model.name;
  return Error(ErrorKind::kConflict,
               "there are several models and none was used before: name one of " + names, "model");
}

Result<void> check_memory(const Settings& settings, const FoundModel& model) {
  const std::uint64_t memory_bytes = memory_budget(settings);
  // What is quantized takes less than its files; loading will tell.
  if (memory_bytes == 0 || settings.quantize() != "off") return {};
  const std::uint64_t weights = TRY(read_model_facts(model.path)).weight_bytes;
  if (memory_bytes < weights + kLeastKvBytes)
    return Error(ErrorKind::kOutOfMemory, model.name + " needs " + format_bytes(weights + kLeastKvBytes) +
                                              " for weights and K/V, the memory setting allows " +
                                              format_bytes(memory_bytes));
  return {};
}

Result<std::filesystem::path> find_draft_model(const CommandContext& context, const Settings& settings) {
  if (settings.draft_model().empty()) return std::filesystem::path();
  return TRY(make_finder(context.state, settings).find(settings.draft_model())).path;
}

Result<AdapterPlaces> find_adapter_places(const CommandContext& context, const Settings& settings) {
  AdapterPlaces places;
  places.shared_folder = context.state.adapters();
  for (const std::string& text : settings.adapters()) {
    const AdapterPlaces::Found named = TRY(parse_named_adapter(text));
    std::error_code error;
    const std::filesystem::path folder = std::filesystem::absolute(expand_home(named.folder), error);
    if (!std::filesystem::is_regular_file(folder / "adapter_config.json", error))
      return not_found("adapter " + named.name + ": " + folder.string() + " holds no adapter_config.json");
    if (!places.named.emplace(named.name, folder).second)
      return invalid_argument("adapter " + named.name + " is given twice", "adapter");
  }
  return places;
}

Result<AdaptedModel> choose_adapted_model(const CommandContext& context, const Settings& settings,
                                          const std::string& name) {
  const ModelFinder finder = make_finder(context.state, settings);
  AdapterPlaces places = TRY(find_adapter_places(context, settings));
  auto whole = choose_model(finder, context.state, name);
  if (whole) return AdaptedModel{whole.take_value(), {}, std::move(places)};
  for (const auto& [model_name, adapter] : split_adapter(name)) {
    auto model = finder.find(model_name);
    if (!model) continue;
    const bool is_folder = adapter.find('/') != std::string::npos || adapter.starts_with('~');
    if (!is_folder) {
      TRY(places.find(model->path, adapter));
      return AdaptedModel{model.take_value(), adapter, std::move(places)};
    }
    std::error_code error;
    const auto folder = std::filesystem::weakly_canonical(expand_home(adapter), error);
    const std::string folder_name = folder.filename().string();
    places.named.insert_or_assign(folder_name, folder);
    return AdaptedModel{model.take_value(), folder_name, std::move(places)};
  }
  return whole.take_error();
}

Result<std::unique_ptr<ModelHost>> load_model(const CommandContext& context, const FoundModel& model,
                                              const Settings& settings, const LoadOptions& options) {
  ModelHostOptions host_options;
  host_options.backend = settings.backend();
  host_options.threads = settings.threads();
  host_options.context_tokens = settings.context_tokens();
  TRY(check_memory(settings, model));
  host_options.memory_bytes = static_cast<std::size_t>(memory_budget(settings));
  host_options.kv_bytes = options.kv_bytes;
  if (options.prefill_first) host_options.gap_ratio = std::numeric_limits<double>::infinity();
  host_options.profile = options.profile;
  host_options.kv_format = settings.kv_format();
  host_options.activation_bits = settings.activation_bits();
  host_options.quantize = TRY(quantization_at_load(settings));
  host_options.speculation = settings.speculation();
  host_options.draft_model = TRY(find_draft_model(context, settings));
  host_options.adapters = options.adapters;
  host_options.adapter_bytes = static_cast<std::size_t>(settings.adapter_bytes());
  if (!options.speculate && host_options.draft_model.empty() &&
      settings.value("speculation").source == SettingSource::kDefault)
    host_options.speculation = "off";
  if (options.max_running > 0) host_options.max_running = options.max_running;
  Progress progress(context.console, "loading " + model.name, Progress::Form::kQuiet);
  host_options.progress = [&progress](float fraction) { progress.update(fraction); };
  return ModelHost::load(model.path, std::move(host_options));
}

}  // namespace mlxd::cli
