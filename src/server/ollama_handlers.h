// Ollama's routes about models: list, show, loaded, pull, delete, copy; and a plain answer for what there is
// not. The routes that generate are its dialects. Thread-safe; must outlive the routes' exchanges.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/ollama/models.h"
#include "http/router.h"
#include "server/catalog_handlers.h"
#include "server/model_names.h"
#include "server/model_shelf.h"
#include "server/ollama_pulls.h"

namespace mlxd {

class OllamaHandlers {
 public:
  struct Options {
    ModelShelf* shelf = nullptr;
    ModelNames* names = nullptr;
    CatalogHandlers* catalog = nullptr;
  };
  explicit OllamaHandlers(Options options)
      : options_(options),
        pulls_({.shelf = options.shelf, .names = options.names, .catalog = options.catalog}) {}

  void add_routes(http::Router& router);
  /// Ends the streams of pulls, whose downloads go on. Any thread.
  void close() { pulls_.close(); }

 private:
  using Answer = Result<http::Response> (OllamaHandlers::*)(const http::Exchange& exchange);
  /// A route whose handler runs on the catalog's workers.
  void add(http::Router& router, const char* method, const char* path, Answer answer);

  Result<http::Response> list(const http::Exchange& exchange);
  Result<http::Response> list_loaded(const http::Exchange& exchange);
  Result<http::Response> show(const http::Exchange& exchange);
  Result<http::Response> remove(const http::Exchange& exchange);
  Result<http::Response> copy(const http::Exchange& exchange);

  api::ollama::ModelEntry describe(const std::string& name, const std::filesystem::path& folder) const;

  const Options options_;
  OllamaPulls pulls_;
};

}  // namespace mlxd
