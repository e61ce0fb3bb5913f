// A download of a repository as others see it, and the journal that remembers it. Values and an interface.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mlxd {

enum class DownloadState {
  kQueued,     // will begin when there is room, also after a restart
  kRunning,    // its files are read
  kPaused,     // by its user, or since the disk is full; what came is kept
  kFailed,     // `message` says why; may be resumed
  kCancelled,  // by its user; what came is removed
  kDone,
};
std::string_view to_string(DownloadState state);
std::optional<DownloadState> download_state_of(std::string_view text);
/// Whether nothing will change any more unless someone asks.
inline bool is_over(DownloadState state) {
  return state == DownloadState::kDone || state == DownloadState::kCancelled ||
         state == DownloadState::kFailed;
}

/// What is kept of a download.
struct DownloadRecord {
  std::string id;
  std::string owner = {};  // the account that began it; empty: none
  std::string repository;
  std::string revision = "main";
  std::string commit;                 // once the hub has told it
  std::vector<std::string> patterns;  // of the files wanted; empty: those that a model needs
  DownloadState state = DownloadState::kQueued;
  std::string message;  // why it failed or paused
  /// Whether the snapshot's folder is this download's own, to be removed if it is cancelled.
  bool owns_snapshot = false;
  std::uint64_t total_bytes = 0;
  std::uint64_t present_bytes = 0;  // when it was saved
  std::int64_t created = 0;         // seconds since 1970
  std::int64_t ended = 0;           // 0: not yet
};

/// Where records are kept so that a kill at any moment loses none that was saved. Called by one thread at a
/// time.
class DownloadJournal {
 public:
  virtual ~DownloadJournal() = default;
  /// In the order in which they were saved first.
  virtual Result<std::vector<DownloadRecord>> load() = 0;
  virtual Result<void> save(const DownloadRecord& record) = 0;
  virtual Result<void> remove(const std::string& id) = 0;
};

/// A download with how far it is.
struct DownloadStatus {
  DownloadRecord record;
  struct File {
    std::string path;
    std::uint64_t size_bytes = 0;
    std::uint64_t present_bytes = 0;
    bool done = false;
    std::string digest = {};  // "sha256:…" of a large file, "gitsha1:…" of another
  };
  std::vector<File> files;  // empty before the hub has listed them
  std::uint64_t present_bytes = 0;
  std::uint64_t version = 0;  // grows with time: of two that cross on their way the larger is the newer
  double bytes_per_s = 0.0;
  std::optional<double> seconds_left;
  std::string waiting;   // why nothing comes at the moment; empty: it comes
  std::string snapshot;  // the folder with the files, once known
};

/// The files of a repository that a model needs to run (those that mlx-lm takes, and the card).
const std::vector<std::string>& model_file_patterns();

}  // namespace mlxd
