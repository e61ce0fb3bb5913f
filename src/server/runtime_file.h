// server.json in the state folder: where this run of the server listens, and the owner's token, for the
// command line of the same user. Mode 0600; written when the server listens, removed when it ends. Functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"

namespace mlxd {

struct RuntimeFacts {
  std::string url;  // "http://127.0.0.1:10242"
  std::int64_t process = 0;
  std::string token;
};

/// One that cannot be guessed.
std::string new_owner_token();

/// Errors: kIo.
Result<void> write_runtime_file(const std::filesystem::path& state_folder, const RuntimeFacts& facts);
/// Removes the file if it is that of `token`, not of a later run.
void remove_runtime_file(const std::filesystem::path& state_folder, const std::string& token);
/// Absent if there is none, or its process has ended.
std::optional<RuntimeFacts> read_runtime_file(const std::filesystem::path& state_folder);

}  // namespace mlxd
