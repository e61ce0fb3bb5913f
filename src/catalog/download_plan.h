// What a download has to do, found out before it begins, and what it leaves if it is cancelled. Functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "catalog/download.h"
#include "catalog/hub_client.h"

namespace mlxd {

struct DownloadPlan {
  std::string commit;
  std::vector<HubFile> files;
  std::vector<bool> present;  // its blob is there
  bool snapshot_existed = false;
  std::uint64_t total_bytes = 0;
  std::uint64_t missing_bytes = 0;  // to be read and written yet
};

/// The files of `model` that match a pattern, or, without patterns, that a model needs. Errors: kNotFound
/// (there are none), kCorruptData (a file without a checksum).
Result<DownloadPlan> plan_download(HubModel model, const std::vector<std::string>& patterns,
                                   const std::filesystem::path& cache);

/// Free bytes of the file system that holds `path` or its nearest parent.
std::optional<std::uint64_t> free_bytes_of(std::filesystem::path path);
/// Errors: kTooLarge with both numbers.
Result<void> check_space(const DownloadPlan& plan, const std::filesystem::path& cache,
                         std::uint64_t free_bytes, std::uint64_t reserve_bytes);

/// Removes the snapshot that a cancelled download made, with what no other uses; if it was `alone` in its
/// repository, half files too. What cannot be removed is logged.
void remove_download_traces(const std::filesystem::path& cache, const DownloadRecord& record, bool alone);

}  // namespace mlxd
