// From a name on the command line to a model in memory, telling the person how far it is. Functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"
#include "cli/commands.h"
#include "cli/model_finder.h"
#include "workbench/chat_session.h"

namespace mlxd::cli {

/// With the folders that the settings add. Errors: of settings that cannot be read.
Result<ModelFinder> make_finder(const StateFolder& state);
ModelFinder make_finder(const StateFolder& state, const Settings& settings);

/// The model called `name`; for an empty name the only one there is, else the one used last. Errors: as
/// ModelFinder::find; kNotFound without models; kConflict where a name has to be given.
Result<FoundModel> choose_model(const ModelFinder& finder, const StateFolder& state, const std::string& name);

/// Whether the memory setting, if there is one, leaves K/V of one conversation beside the weights' files.
/// Errors: kOutOfMemory with both numbers.
Result<void> check_memory(const Settings& settings, const FoundModel& model);

/// The folder of the draft model that the settings name; empty: they name none.
Result<std::filesystem::path> find_draft_model(const CommandContext& context, const Settings& settings);

/// Where adapters lie beside the models' own folders. Errors: kInvalidArgument, kNotFound naming the setting.
Result<AdapterPlaces> find_adapter_places(const CommandContext& context, const Settings& settings);

/// A model and the adapter of it that was asked for.
struct AdaptedModel {
  FoundModel model;
  std::string adapter;  // name; empty: none
  AdapterPlaces places;

  std::string name() const { return adapter.empty() ? model.name : model.name + "+" + adapter; }
};
/// As choose_model; the name may be MODEL+ADAPTER, with an adapter's name or folder ("/…", "./…", "~…").
Result<AdaptedModel> choose_adapted_model(const CommandContext& context, const Settings& settings,
                                          const std::string& name);

struct LoadOptions {
  std::size_t kv_bytes = 0;      // 0: from the settings
  std::int32_t max_running = 0;  // 0: the host's default
  /// Prefills take whole steps, however long others' next tokens then wait.
  bool prefill_first = false;
  bool profile = false;
  bool speculate = true;  // false: only if the settings ask for it
  AdapterPlaces adapters = {};
};
/// Loads with a progress bar on a terminal.
Result<std::unique_ptr<ModelHost>> load_model(const CommandContext& context, const FoundModel& model,
                                              const Settings& settings, const LoadOptions& options);

}  // namespace mlxd::cli
