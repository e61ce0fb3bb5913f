// The way to a running server for commands that ask one. Functions.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/settings.h"
#include "http/client.h"

namespace mlxd::cli {

/// The server at the settings' address. Errors: kInvalidArgument.
Result<http::Client> find_server(const Settings& settings);
/// `text` as one part of a path or query.
std::string percent_encode(std::string_view text);
/// The body of an answer below 300. Errors: kUnavailable (nobody listens, with what to do), and what the
/// server says in its problem document, with the kind that it names.
Result<std::string> body_of(const Result<http::ClientResponse>& response, const http::Client& server);

}  // namespace mlxd::cli
