#include "catalog/download_plan.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "catalog/byte_text.h"
#include "catalog/hub_cache.h"
#include "catalog/hub_names.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

bool matches_any(const std::string& path, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return matches_pattern(path, pattern); });
}

}  // namespace

std::optional<std::uint64_t> free_bytes_of(fs::path path) {
  struct statvfs facts {};
  while (::statvfs(path.c_str(), &facts) != 0) {
    if (!path.has_relative_path()) return std::nullopt;
    path = path.parent_path();
  }
  return static_cast<std::uint64_t>(facts.f_bavail) * facts.f_frsize;
}

Result<DownloadPlan> plan_download(HubModel model, const std::vector<std::string>& patterns,
                                   const fs::path& cache) {
  const bool chosen = !patterns.empty();
  const RepositoryPaths paths(cache, model.id);
  DownloadPlan plan;
  plan.commit = model.commit;
  bool weights = false;
  std::set<std::string> counted;
  for (HubFile& file : model.files) {
    if (!matches_any(file.path, chosen ? patterns : model_file_patterns())) continue;
    if (!is_hash(file.etag(), 40) && !is_hash(file.etag(), 64))
      return corrupt_data("the hub gives no checksum of " + file.path + " of " + model.id);
    weights = weights || file.path.ends_with(".safetensors");
    std::error_code code;
    const auto there = fs::file_size(paths.blob(file.etag()), code);
    const bool present = !code && there == file.size_bytes;
    plan.total_bytes += file.size_bytes;
    if (!present && counted.insert(file.etag()).second) {
      const auto begun = fs::file_size(paths.incomplete(file.etag()), code);
      plan.missing_bytes += file.size_bytes - (code ? 0 : std::min<std::uint64_t>(begun, file.size_bytes));
    }
    plan.present.push_back(present);
    plan.files.push_back(std::move(file));
  }
  if (plan.files.empty() || (!chosen && !weights))
    return not_found(model.id + " has no files that a model needs (config.json, model*.safetensors)" +
                     (chosen ? "" : ": name the files to take, or look for an MLX version of it"));
  std::error_code code;
  plan.snapshot_existed = fs::exists(paths.snapshots / plan.commit, code);
  return plan;
}

Result<void> check_space(const DownloadPlan& plan, const fs::path& cache, std::uint64_t free_bytes,
                         std::uint64_t reserve_bytes) {
  if (plan.missing_bytes == 0 || free_bytes >= plan.missing_bytes + reserve_bytes) return {};
  return Error(ErrorKind::kTooLarge, "it needs " + byte_text(plan.missing_bytes) + " and " +
                                         byte_text(reserve_bytes) + " to spare, but only " +
                                         byte_text(free_bytes) + " are free in " + cache.string() +
                                         ": make room, or set HF_HUB_CACHE to another disk");
}

void remove_download_traces(const fs::path& cache, const DownloadRecord& record, bool alone) {
  const RepositoryPaths paths(cache, record.repository);
  const auto report = [&](const Error& error) {
    log::warn("something of the cancelled download of {} stays: {}", record.repository, error.message);
  };
  std::error_code code;
  if (alone) {
    // Half files of a process that has their lock are that process's.
    for (fs::directory_iterator it(paths.blobs, code), end; !code && it != end; it.increment(code)) {
      const std::string etag = it->path().stem().string();
      if (it->path().extension() != ".incomplete" || (!is_hash(etag, 40) && !is_hash(etag, 64))) continue;
      BlobLock lock;
      const auto locked = BlobLock::try_acquire(paths.lock(etag), lock);
      if (!locked)
        report(locked.error());
      else if (*locked)
        fs::remove(it->path(), code);
    }
  }
  if (record.owns_snapshot && !record.commit.empty() && fs::exists(paths.snapshots / record.commit, code)) {
    if (const auto removed = remove_revision(cache, record.repository, record.commit); !removed)
      report(removed.error());
  }
  // What no snapshot uses is of no use: blobs whose link was not made yet, and empty folders.
  if (!alone || !fs::exists(paths.root, code)) return;
  const CachedRepository left = scan_repository(paths.root);
  if (left.revisions.empty() && left.incomplete_bytes == 0) {
    if (const auto removed = remove_repository(cache, record.repository); !removed) report(removed.error());
  }
}

}  // namespace mlxd
