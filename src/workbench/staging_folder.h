// The hidden folder beside a model folder that a job fills and renames when it is complete: either everything
// appears under the name, or nothing does. An exclusive lock on a file beside it tells a running job from the
// remains of a killed one, which the next job of that name clears away. One owner thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mlxd {

class StagingFolder {
 public:
  /// Makes TARGET's parent if absent, and in it ".ACTIVITY-NAME" ("importing", "converting"), empty. Errors:
  /// kIo; kConflict if another process is making this folder.
  static Result<StagingFolder> create(const std::filesystem::path& target, std::string_view activity);

  StagingFolder(StagingFolder&& other) noexcept;
  StagingFolder& operator=(StagingFolder&&) = delete;
  /// Removes the folder with everything in it, unless it was published.
  ~StagingFolder();

  const std::filesystem::path& path() const { return path_; }

  /// A new file of the folder, flushed to disk; a copy is of what links lead to. Errors: kIo; kNotFound.
  Result<void> write_text(std::string_view name, std::string_view text) const;
  Result<void> copy_file(const std::filesystem::path& from, std::string_view name) const;
  /// Whether `bytes` more fit beside what the system should keep. Errors: kIo with both numbers.
  Result<void> check_space(std::uint64_t bytes) const;

  /// Gives the folder TARGET's name; one that exists is replaced (moved aside first, so that a kill never
  /// leaves a mixture) or, without `replace`, is kConflict.
  Result<void> publish(bool replace);

  /// Removes what jobs that were killed have left in PARENT, and gives back its name to a folder that one of
  /// them had moved aside. Jobs that run are not touched. What cannot be removed stays for the next time.
  static void remove_remains(const std::filesystem::path& parent);

 private:
  StagingFolder() = default;

  std::filesystem::path target_;
  std::filesystem::path path_;
  std::filesystem::path lock_path_;
  int lock_ = -1;
};

/// Whether `bytes` more fit into `folder`, or the nearest folder above it that exists, beside what the system
/// should keep. Errors: kIo with both numbers.
Result<void> check_free_space(const std::filesystem::path& folder, std::uint64_t bytes);

}  // namespace mlxd
