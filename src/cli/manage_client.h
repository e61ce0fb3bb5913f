// The management API as commands use it: of the server that runs on the same state folder, or of one that
// this process opens for itself, without models and on a port of its own. One owner.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/state_folder.h"
#include "http/client.h"
#include "server/api_server.h"

namespace mlxd::cli {

class ManageClient {
 public:
  /// Errors: of the database and the settings, where no server runs.
  static Result<ManageClient> open(const StateFolder& state);
  /// As `open`, but nothing where no server runs. Errors: kUnavailable (one runs and does not answer).
  static Result<std::optional<ManageClient>> find_running(const StateFolder& state);
  /// As `open`, but kUnavailable where no server runs.
  static Result<ManageClient> open_running(const StateFolder& state);

  /// The answer's JSON, null if it has none. What the server refuses is an error with its words and its
  /// field.
  Result<boost::json::value> get(std::string_view path) const { return call("GET", path, {}); }
  Result<boost::json::value> call(std::string_view method, std::string_view path,
                                  const std::optional<boost::json::object>& body) const;
  /// An answer that is no JSON.
  Result<std::string> get_text(std::string_view path) const;

 private:
  explicit ManageClient(http::Client client) : client_(std::move(client)) {}
  static Result<ManageClient> open_own(const StateFolder& state);
  Result<http::ClientResponse> exchange(std::string_view method, std::string_view path,
                                        std::string_view body) const;

  std::unique_ptr<ApiServer> own_;  // null: a server runs
  http::Client client_;
};

/// `text` as one segment of a path.
std::string path_segment(std::string_view text);

}  // namespace mlxd::cli
