// The one composition root: models, text workers, HTTP server and routes under one owner. `start` binds the
// port, loads the models and then serves; the ready line is the caller's to print (see ready_line). Thread
// rule: start, run and the destructor on one thread; `stop` from any.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/model_spec.h"
#include "runtime/adapter_places.h"
#include "runtime/pool_policy.h"
#include "settings/settings.h"

namespace mlxd {

struct AppOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 10242;  // 0: any free one
  /// Folders to load before the server is ready; they are not evicted.
  std::vector<std::filesystem::path> models;
  /// The same, but they leave when memory is needed.
  std::vector<std::filesystem::path> first_models;
  /// Folders to load in the background once it is ready; they are not evicted.
  std::vector<std::filesystem::path> preload;
  /// Folder whose sub-folders are also served, loaded at their first use; empty: none.
  std::filesystem::path models_folder;
  /// The hub's cache, whose models are served too and which downloads go into; empty: none.
  std::filesystem::path hub_cache = {};
  std::string backend = "auto";     // auto | cpu
  std::int32_t threads = 0;         // compute threads; 0: one per core
  std::int32_t context_tokens = 0;  // 0: each model's own
  /// Of all models, for weights, K/V, scratch and adapters; 0: four fifths of the machine's, and no more than
  /// what is free.
  std::size_t memory_bytes = 0;
  Eviction eviction = Eviction::kLru;
  /// How long a model stays that nobody uses, where a request does not say; absent: see PoolSettings.
  std::optional<KeepAlive> keep_alive = {};
  std::chrono::milliseconds swap_wait{5000};  // see PoolSettings
  std::string kv_format = "fp16";             // fp16 | bf16 | int8
  std::int32_t activation_bits = 8;           // that meet quantized weights: 8 | 16
  std::optional<Quantization> quantize{};  // what dense layers become when they are loaded; absent: they stay
  /// How long a generation may take, streams too; 0: any time.
  std::chrono::seconds request_timeout{900};
  std::chrono::seconds batch_timeout{3600};           // of requests below /v1/batch; 0: any time
  std::chrono::seconds idle_timeout{75};              // of connections without a request under way
  std::int32_t max_running = 64;                      // sequences in one step
  std::string speculation = "auto";                   // auto | off | lookup | draft
  std::filesystem::path draft_model;                  // drafts for each model; empty: none does
  AdapterPlaces adapters = {};                        // beside each model's own folder `adapters`
  std::size_t adapter_bytes = std::size_t{1} << 30U;  // most for the loaded adapters of each model
  /// Refuse what is otherwise tolerated: keys inside messages that nothing reads.
  bool strict = false;
  std::string log_level = "info";  // trace | debug | info | warn | error | off
  std::size_t max_body_bytes = std::size_t{64} << 20;
  /// How long running requests may take to finish after the first SIGTERM or `stop`.
  std::chrono::milliseconds drain_limit{30000};
  /// Web origins allowed beside loopback ones, e.g. "https://chat.example.org".
  std::vector<std::string> allowed_origins;
  /// Has the database, the secrets' key, downloads under way and the logs; empty: nothing is kept.
  std::filesystem::path state_folder;
  /// Where the settings come from, without those that are stored.
  SettingPlaces places;
  /// Log files kept in the state folder, and the size of each; 0: none.
  std::size_t log_files = 0;
  std::size_t log_file_bytes = 10'000'000;
};

class App {
 public:
  /// Errors: kConflict (port in use), kInvalidArgument (host, options), and those of loading a model.
  static Result<std::unique_ptr<App>> start(AppOptions options);
  ~App();

  std::uint16_t port() const;
  /// "http://127.0.0.1:10242".
  const std::string& url() const;
  /// "mlxd is ready at http://127.0.0.1:10242", to be printed once on standard output.
  std::string ready_line() const;
  /// Where the first account can be made, "http://127.0.0.1:10242/#setup=TOKEN"; empty once there is one.
  std::string setup_link() const;

  /// Serves until SIGTERM, SIGINT or `stop`, then drains: no new connections, running requests finish within
  /// the limit; a second signal ends at once. Returns true if everything running could finish.
  bool run();
  /// Starts the drain, as a signal does. Thread-safe.
  void stop();

 private:
  struct Impl;
  explicit App(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
