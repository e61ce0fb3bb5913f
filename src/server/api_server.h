// The HTTP face of the program: server, routes, text workers, models by name and metrics under one owner. App
// adds real models and signals; tests add models of their own. Thread rule: one owner; `put` and `set_ready`
// from any.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "http/server.h"
#include "runtime/model_host.h"
#include "server/management.h"
#include "server/model_shelf.h"

namespace mlxd {

class ApiServer {
 public:
  struct Options {
    http::ServerOptions http;  // render_error, on_record are set here
    ModelPool::Options pool;
    std::filesystem::path models_folder = {};
    std::filesystem::path hub_cache = {};  // whose models are served too, and where downloads go; empty: none
    /// Whether jobs run here (see JobQueue), and how those that measure load their models.
    bool runs_jobs = false;
    ModelHostOptions job_host = {};
    bool strict = false;
    std::chrono::seconds request_timeout{0};  // of a generation; 0: none
    std::chrono::seconds batch_timeout{0};    // of one below /v1/batch; 0: none
    /// Accounts, keys, settings, profiles; null: with nothing stored, in memory.
    std::unique_ptr<Management> management = nullptr;
    std::size_t text_workers = 2;
    std::size_t max_queued_requests = 256;
  };

  /// Listens at once; /readyz is 503 and generation is refused until set_ready.
  static Result<std::unique_ptr<ApiServer>> start(Options options);
  /// Cuts what still runs.
  ~ApiServer();

  ModelShelf& models();
  http::Server& http();
  Management& management();
  /// Longest time of generations that begin from now on, and of those below /v1/batch; 0: none. Any thread.
  void set_timeouts(std::chrono::seconds request, std::chrono::seconds batch);
  /// Method and pattern of every route.
  const std::vector<std::pair<std::string, std::string>>& routes() const;
  void set_ready();
  /// No new connections, /readyz 503; running requests go on. http.on_drained tells when all are done.
  void begin_drain();

 private:
  struct Impl;
  explicit ApiServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
