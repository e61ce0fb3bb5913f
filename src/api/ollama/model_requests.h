// The requests about models: /api/show, pull, delete and copy. Pure; errors name the field.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/field_shape.h"
#include "base/result.h"

namespace mlxd::api::ollama {

/// All fields of each request.
std::vector<FieldInfo> delete_infos(), show_infos(), pull_infos(), copy_infos();

/// `model`, or `name` as it was called before.
Result<std::string> decode_delete(std::string_view body);

struct ShowRequest {
  std::string model;
  std::vector<std::string> ignored;  // what it has that changes nothing here
};
Result<ShowRequest> decode_show(std::string_view body);

struct PullRequest {
  std::string model;
  bool stream = true;
};
Result<PullRequest> decode_pull(std::string_view body);

struct CopyRequest {
  std::string source;
  std::string destination;
};
Result<CopyRequest> decode_copy(std::string_view body);

/// Which repository of the hub a name to pull means.
struct PullName {
  std::string repository;  // "org/name"; empty: the name is not one of the hub
  std::string revision = "main";
};
/// "org/name", with hf.co/ or huggingface.co/ before it, :latest or @REVISION after it. Errors:
/// kInvalidArgument (another tag, malformed).
Result<PullName> parse_pull_name(std::string_view name);

/// The name without ":latest".
std::string without_latest(std::string_view name);

}  // namespace mlxd::api::ollama
