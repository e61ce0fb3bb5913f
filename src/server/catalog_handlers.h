// /api/v1/models, hub, downloads and events: handlers that join catalog, shelf and HTTP. They have workers of
// their own: a slow hub holds up no chat. Thread rule: made and destroyed by the server's owner; routes from
// I/O threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "catalog/downloader.h"
#include "catalog/model_catalog.h"
#include "http/router.h"
#include "server/caller.h"
#include "server/event_hub.h"
#include "server/model_shelf.h"
#include "server/text_workers.h"

namespace mlxd {

class CatalogHandlers {
 public:
  struct Options {
    ModelShelf* shelf = nullptr;
    EventHub* events = nullptr;
    std::filesystem::path models_folder = {};
    std::filesystem::path hub_cache = {};  // empty: neither hub nor downloads
    /// See ModelCatalog::Options.
    std::function<std::vector<std::filesystem::path>()> added_folders = {};
    /// Of downloads, which go on with what it says; null: they are forgotten at the end.
    std::unique_ptr<DownloadJournal> journal = {};
    /// Both: see HubClient::Options.
    std::function<Result<std::optional<std::string>>()> kept_hub_token = {};
    std::function<HubPolicy()> hub_policy = {};
    /// Events, encoded, that one who begins to listen is told first, beside the downloads.
    std::function<std::string(const Caller& caller)> first_events = {};
  };
  /// Goes on with downloads that were under way. A bad token or endpoint is told by each call to the hub;
  /// other errors: the journal's.
  static Result<std::unique_ptr<CatalogHandlers>> create(Options options);
  ~CatalogHandlers();
  /// Stops downloads and workers; requests that still come are refused. Before the server goes.
  void stop();

  void add_routes(http::Router& router);
  /// Of a folder, as it was last looked at; read now if it never was. Errors: as read_model_facts.
  Result<ModelFacts> facts_of(const std::filesystem::path& folder) const;

  /// Runs `job` on a worker of these handlers; false: too many wait.
  bool try_post(std::function<void()>&& job) { return workers_.try_post(std::move(job)); }
  /// Removes a model, or one revision of it, from the disk. `name` is its own, of a folder or a repository.
  /// `added`: also from a folder that was added. Errors: kNotFound, kConflict (loaded, being downloaded, or
  /// not ours to remove), kInvalidArgument, kIo. On a worker.
  Result<Removed> remove(const std::string& name, const std::string& revision, bool added = false);

  /// Errors: kUnavailable or what the hub's settings say: there are no downloads.
  Result<Downloader*> downloads() const;
  using DownloadListener = std::function<void(const DownloadStatus&)>;
  /// Looks at the disk now, so that whoever asks next sees what has changed. Not under a listener.
  void scan_now() { catalog_->scan_now(); }
  /// Looks at the disk soon.
  void request_scan() { catalog_->request_scan(); }
  /// Calls `listener` on any thread when a download has changed; it must not call the downloader.
  std::uint64_t follow_downloads(DownloadListener listener);
  /// No call begins after this returns, though one may be under way.
  void unfollow_downloads(std::uint64_t id);
  /// Whether somebody has asked the management API for this download.
  bool is_managed(const std::string& download) const;

 private:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  using Answer = std::function<Result<http::Response>(const http::Request&)>;
  using CallerAnswer = std::function<Result<http::Response>(const http::Request&, const Caller&)>;

  explicit CatalogHandlers(Options options);
  Result<void> start();
  /// A route whose answer may take its time.
  void add(http::Router& router, const std::string& method, const std::string& path, Answer answer,
           http::RouteOptions options = {});
  void add_for_caller(http::Router& router, const std::string& method, const std::string& path,
                      CallerAnswer answer, http::RouteOptions options = {});
  void listen(const http::ExchangePtr& exchange);

  Result<http::Response> list_models(const http::Request& request);
  Result<http::Response> show_model(const http::Request& request);
  Result<http::Response> delete_model(const http::Request& request);
  Result<http::Response> search_hub(const http::Request& request);
  Result<http::Response> show_hub_model(const http::Request& request);
  Result<http::Response> list_variants(const http::Request& request);
  Result<http::Response> list_recommended(const http::Request& request);
  Result<http::Response> test_token(const http::Request& request);
  Result<http::Response> begin_download(const http::Request& request, const Caller& caller);
  Result<http::Response> show_download(const std::string& id, int status) const;
  Result<http::Response> delete_download(const http::Request& request);

  std::string encode(const CatalogModel& model, const Fields& fields, bool whole) const;
  bool is_loaded(const std::string& name) const;
  void tell_listeners(const DownloadStatus& status) const;
  void note_managed(const std::string& download);

  Options options_;  // constant once started
  EventHub& events_;
  StopFlag stop_;
  TextWorkers workers_;
  std::unique_ptr<ModelCatalog> catalog_;
  std::unique_ptr<Downloader> downloader_;
  Error no_hub_;  // why there is no downloader
  mutable Mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<const DownloadListener>> listeners_ GUARDED_BY(mutex_);
  std::uint64_t last_listener_ GUARDED_BY(mutex_) = 0;
  std::set<std::string> managed_ GUARDED_BY(mutex_);
};

}  // namespace mlxd
