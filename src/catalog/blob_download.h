// One file of the hub into the cache: resumed at the byte where it stopped, verified by its hash, and given
// its name only then. Kept apart from other processes by huggingface_hub's lock file. A function, for any
// thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"
#include "catalog/http_transfer.h"
#include "catalog/hub_cache.h"
#include "catalog/hub_client.h"
#include "catalog/stop_flag.h"

namespace mlxd {

enum class BlobEnd {
  kDone,      // the blob has its name
  kStopped,   // asked to; what came is kept
  kDiskFull,  // what came is kept
};

struct BlobDownload {
  const HubClient* hub = nullptr;
  std::string repository, commit;
  HubFile file;
  RepositoryPaths paths;

  std::chrono::milliseconds retry_base{500};
  /// Tries in a row that bring no byte before it is given up; 0: never.
  int attempts = 5;
  std::function<ssize_t(int descriptor, const void* bytes, std::size_t size)> write = {};  // empty: ::write
  /// How many bytes are there; goes back to 0 if they have to be read anew. On the calling thread.
  std::function<void(std::uint64_t bytes)> on_progress = {};
  /// So many bytes more have come from the network.
  std::function<void(std::size_t count)> on_received = {};
  /// Why nothing comes at the moment, for people; empty once it comes again.
  std::function<void(const std::string& reason)> on_wait = {};
};

/// Errors: kCorruptData (the hash stays wrong), kUnavailable, kTimeout, kOverloaded (given up),
/// kUnauthorized, kForbidden, kNotFound, kIo; kConflict in offline mode, what came is kept.
Result<BlobEnd> download_blob(const BlobDownload& download, HttpTransfer& transfer, StopFlag& stop);

}  // namespace mlxd
