// Names that come from outside and become paths and URLs: checked here, before they do. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace mlxd {

/// "org/name" or "name", as huggingface_hub's validate_repo_id allows. Errors: kInvalidArgument.
Result<void> check_repository_id(std::string_view id);
/// A branch, tag, "refs/pr/1" or commit. Errors: kInvalidArgument.
Result<void> check_revision(std::string_view revision);
/// Whether it is a full commit hash.
bool is_commit(std::string_view text);
/// Whether `text` is `digits` lower-case hexadecimal digits.
bool is_hash(std::string_view text, std::size_t digits);
/// A relative path without empty, "." or ".." parts, backslashes and control characters.
bool is_safe_file_path(std::string_view path);

/// "models--org--name".
std::string repository_folder_name(std::string_view id);
/// "org/name" of "models--org--name"; empty for other folders.
std::string repository_of_folder(std::string_view folder_name);

/// Percent-encoded for a URL's path; "/" is kept if `keep_slashes`.
std::string url_encoded(std::string_view text, bool keep_slashes);
/// The other way; a malformed escape stays as it is.
std::string url_decoded(std::string_view text);

/// Shell patterns as Python's fnmatch: "*", "?", "[…]" ("*" also matches "/").
bool matches_pattern(std::string_view text, std::string_view pattern);

}  // namespace mlxd
