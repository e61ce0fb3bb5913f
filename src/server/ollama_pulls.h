// POST /api/pull: a download of the catalog's, told line by line to the client that waits for it. When the
// last client that waits has gone and nobody else has asked for the download, it is paused: the next pull
// goes on with it. Thread-safe; must outlive the routes' exchanges.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/ollama/model_requests.h"
#include "base/mutex.h"
#include "http/router.h"
#include "server/catalog_handlers.h"
#include "server/model_names.h"
#include "server/model_shelf.h"

namespace mlxd {

class OllamaPulls {
 public:
  struct Options {
    const ModelShelf* shelf = nullptr;
    const ModelNames* names = nullptr;
    CatalogHandlers* catalog = nullptr;
  };
  explicit OllamaPulls(Options options) : options_(options) {}

  void add_routes(http::Router& router);
  /// Ends all streams, and pauses nothing any more. Any thread.
  void close() EXCLUDES(mutex_);

 private:
  class Pull;
  /// Who waits for a download here.
  struct Interest {
    int waiting = 0;
    bool begun_here = false;
  };

  void begin(const http::ExchangePtr& exchange);
  Result<void> follow(const http::ExchangePtr& exchange, const api::ollama::PullRequest& request);
  /// `gone`: the client has left, before the download was over.
  void leave(const std::string& download, bool gone) EXCLUDES(mutex_);

  const Options options_;
  Mutex mutex_;
  std::map<std::string, Interest> interests_ GUARDED_BY(mutex_);  // by download
  std::vector<std::weak_ptr<Pull>> pulls_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace mlxd
