// The cache of huggingface_hub on disk, in its layout (its docs, "Manage huggingface_hub cache-system"):
//
//   models--ORG--NAME/blobs/ETAG             the bytes, named by their hash; ETAG.incomplete while they come
//                    /snapshots/COMMIT/PATH  links to them
//                    /refs/REVISION          the commit that a branch or tag was when it was read
//   .locks/models--ORG--NAME/ETAG.lock       flock'ed by whoever writes that blob
//
// Functions; other processes may read and write the cache at the same time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace mlxd {

/// Places of one repository in a cache.
struct RepositoryPaths {
  RepositoryPaths(const std::filesystem::path& cache, const std::string& repository);

  std::filesystem::path root, blobs, snapshots, refs, locks;

  std::filesystem::path blob(const std::string& etag) const { return blobs / etag; }
  std::filesystem::path incomplete(const std::string& etag) const { return blobs / (etag + ".incomplete"); }
  std::filesystem::path lock(const std::string& etag) const { return locks / (etag + ".lock"); }
};

struct CachedFile {
  std::string path;            // inside the snapshot
  std::filesystem::path blob;  // what its link names; the file itself where links are not used
  std::uint64_t size_bytes = 0;
};

struct CachedRevision {
  std::string commit;
  std::vector<std::string> refs;  // "main"
  std::filesystem::path folder;
  std::vector<CachedFile> files;
  std::uint64_t size_bytes = 0;  // each blob once
  std::int64_t modified = 0;     // newest blob, seconds since 1970
};

struct CachedRepository {
  std::string id;  // "org/name"
  std::filesystem::path folder;
  std::vector<CachedRevision> revisions;  // newest first
  std::uint64_t size_bytes = 0;           // each blob once
  std::uint64_t incomplete_bytes = 0;     // of downloads that have not ended
  std::vector<std::string> problems;      // links to nothing, refs to no snapshot, …
};

/// All models in the cache, by name. What cannot be read is a problem of its repository, not an error.
std::vector<CachedRepository> scan_hub_cache(const std::filesystem::path& cache);
CachedRepository scan_repository(const std::filesystem::path& folder);

/// The commit that a revision stands for here; empty if unknown.
std::string read_ref(const RepositoryPaths& paths, const std::string& revision);
/// Makes or moves a ref, whole or not at all. A commit has none. Errors: kIo.
Result<void> write_ref(const RepositoryPaths& paths, const std::string& revision, const std::string& commit);
/// Makes the snapshot's link to a blob, relative as huggingface_hub does. Errors: kIo.
Result<void> link_blob(const RepositoryPaths& paths, const std::string& commit, const std::string& file,
                       const std::string& etag);

struct Removed {
  std::uint64_t freed_bytes = 0;
  std::vector<std::string> commits;  // whose snapshots went
  std::vector<std::string> refs;     // that named them
};
/// Removes one snapshot, its refs and the blobs that no other snapshot uses; with the last one the whole
/// repository. Errors: kNotFound, kIo.
Result<Removed> remove_revision(const std::filesystem::path& cache, const std::string& repository,
                                const std::string& commit);
Result<Removed> remove_repository(const std::filesystem::path& cache, const std::string& repository);
/// Removes a model's folder, or, where that is a snapshot in a cache's layout, its repository. Of a link the
/// link alone goes. `size_bytes`: what the folder's files take. Errors: kIo.
Result<Removed> remove_model_folder(const std::filesystem::path& folder, std::uint64_t size_bytes);

/// Holds a blob's lock file as Python's filelock does (flock on the whole file). Released when destroyed.
class BlobLock {
 public:
  /// False: another process has it. Errors: kIo.
  static Result<bool> try_acquire(const std::filesystem::path& file, BlobLock& lock);
  BlobLock() = default;
  BlobLock(BlobLock&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  BlobLock& operator=(BlobLock&& other) noexcept;
  ~BlobLock();

 private:
  int descriptor_ = -1;
};

/// Writes `text` to `file` by way of `fresh`, a file of the same file system that then takes its place.
/// Errors: kIo.
Result<void> write_whole_file(const std::filesystem::path& file, const std::string& text,
                              const std::filesystem::path& fresh);

}  // namespace mlxd
