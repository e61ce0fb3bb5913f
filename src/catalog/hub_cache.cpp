#include "catalog/hub_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <map>
#include <set>
#include <utility>

#include "catalog/hub_names.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxRefBytes = 256;

// Files that systems put everywhere (huggingface_hub ignores the same).
bool is_litter(const std::string& name) {
  return name == ".DS_Store" || name == "Thumbs.db" || name == "desktop.ini";
}

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  if (!std::getline(stream, line) || line.size() > kMaxRefBytes) return {};
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  return line;
}

// The blobs of a scan, each looked at once.
class Blobs {
 public:
  struct Facts {
    bool exists = false;
    std::uint64_t size_bytes = 0;
    std::int64_t modified = 0;
  };
  const Facts& of(const fs::path& blob) {
    const auto [entry, fresh] = facts_.try_emplace(blob.string());
    struct stat status {};
    if (fresh && ::stat(blob.c_str(), &status) == 0)
      entry->second = {true, static_cast<std::uint64_t>(status.st_size),
                       static_cast<std::int64_t>(status.st_mtime)};
    return entry->second;
  }
  std::uint64_t total_bytes() const {
    std::uint64_t total = 0;
    for (const auto& [path, facts] : facts_) total += facts.size_bytes;
    return total;
  }

 private:
  std::map<std::string, Facts> facts_;
};

// One hop only: a blob may itself be a link into a store that caches share.
fs::path blob_of(const fs::path& file) {
  std::error_code code;
  const fs::path target = fs::read_symlink(file, code);
  if (code) return file;
  return (target.is_absolute() ? target : file.parent_path() / target).lexically_normal();
}

std::map<std::string, std::vector<std::string>> read_refs(const fs::path& refs,
                                                          std::vector<std::string>& problems) {
  std::map<std::string, std::vector<std::string>> by_commit;
  std::error_code code;
  for (fs::recursive_directory_iterator it(refs, code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (it->is_directory(ignored) || is_litter(it->path().filename().string())) continue;
    const std::string name = it->path().lexically_relative(refs).generic_string();
    const std::string commit = first_line(it->path());
    if (commit.empty())
      problems.push_back("refs/" + name + " is empty or unreadable");
    else
      by_commit[commit].push_back(name);
  }
  return by_commit;
}

CachedRevision scan_revision(const fs::path& folder, Blobs& blobs, std::vector<std::string>& problems) {
  CachedRevision revision;
  revision.commit = folder.filename().string();
  revision.folder = folder;
  std::set<std::string> seen;
  std::error_code code;
  for (fs::recursive_directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (!it->is_symlink(ignored) && it->is_directory(ignored)) continue;
    if (is_litter(it->path().filename().string())) continue;
    const fs::path blob = blob_of(it->path());
    const Blobs::Facts& facts = blobs.of(blob);
    const std::string path = it->path().lexically_relative(folder).generic_string();
    if (!facts.exists) {
      problems.push_back(revision.commit.substr(0, 12) + "/" + path + " is a link to nothing");
      continue;
    }
    revision.files.push_back({path, blob, facts.size_bytes});
    revision.modified = std::max(revision.modified, facts.modified);
    if (seen.insert(blob.string()).second) revision.size_bytes += facts.size_bytes;
  }
  if (code) problems.push_back("cannot read " + folder.string() + ": " + code.message());
  std::sort(revision.files.begin(), revision.files.end(),
            [](const CachedFile& a, const CachedFile& b) { return a.path < b.path; });
  return revision;
}

std::uint64_t incomplete_bytes(const fs::path& blobs) {
  std::uint64_t total = 0;
  std::error_code code;
  for (fs::directory_iterator it(blobs, code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (it->path().extension() != ".incomplete") continue;
    const auto size = it->file_size(ignored);
    if (!ignored) total += size;
  }
  return total;
}

Result<void> remove_tree(const fs::path& path) {
  std::error_code code;
  fs::remove_all(path, code);
  if (code) return io_error("cannot remove " + path.string(), code.value());
  return {};
}

Result<void> ensure_folder(const fs::path& folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) return io_error("cannot make the folder " + folder.string(), code.value());
  return {};
}

Error not_cached(const std::string& repository, const fs::path& cache) {
  return not_found(repository + " is not in " + cache.string());
}

}  // namespace

RepositoryPaths::RepositoryPaths(const fs::path& cache, const std::string& repository)
    : root((cache / repository_folder_name(repository)).lexically_normal()),
      blobs(root / "blobs"),
      snapshots(root / "snapshots"),
      refs(root / "refs"),
      locks(cache / ".locks" / repository_folder_name(repository)) {}

CachedRepository scan_repository(const fs::path& folder) {
  CachedRepository repository;
  repository.id = repository_of_folder(folder.filename().string());
  repository.folder = folder;
  auto refs = read_refs(folder / "refs", repository.problems);
  Blobs blobs;
  std::error_code code;
  for (fs::directory_iterator it(folder / "snapshots", code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    const std::string name = it->path().filename().string();
    if (is_litter(name)) continue;
    if (!it->is_directory(ignored)) {
      repository.problems.push_back("snapshots/" + name + " is no folder");
      continue;
    }
    CachedRevision revision = scan_revision(it->path(), blobs, repository.problems);
    if (const auto named = refs.find(revision.commit); named != refs.end()) {
      revision.refs = std::move(named->second);
      refs.erase(named);
    }
    repository.revisions.push_back(std::move(revision));
  }
  for (const auto& [commit, names] : refs)
    repository.problems.push_back("refs/" + names.front() + " names a snapshot that is not there");
  if (repository.revisions.empty()) repository.problems.push_back("it has no snapshot");
  std::sort(repository.revisions.begin(), repository.revisions.end(),
            [](const CachedRevision& a, const CachedRevision& b) { return a.modified > b.modified; });
  repository.size_bytes = blobs.total_bytes();
  repository.incomplete_bytes = incomplete_bytes(folder / "blobs");
  return repository;
}

std::vector<CachedRepository> scan_hub_cache(const fs::path& cache) {
  std::vector<CachedRepository> repositories;
  std::error_code code;
  for (fs::directory_iterator it(cache, code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    if (repository_of_folder(it->path().filename().string()).empty() || !it->is_directory(ignored)) continue;
    repositories.push_back(scan_repository(it->path()));
  }
  std::sort(repositories.begin(), repositories.end(),
            [](const CachedRepository& a, const CachedRepository& b) { return a.id < b.id; });
  return repositories;
}

std::string read_ref(const RepositoryPaths& paths, const std::string& revision) {
  if (is_commit(revision)) return revision;
  return first_line(paths.refs / revision);
}

Result<void> write_whole_file(const fs::path& file, const std::string& text, const fs::path& fresh) {
  {
    std::ofstream stream(fresh, std::ios::trunc | std::ios::binary);
    stream << text;
    stream.close();
    if (!stream) return io_error("cannot write " + fresh.string(), errno != 0 ? errno : EIO);
  }
  if (::rename(fresh.c_str(), file.c_str()) != 0) return io_error("cannot write " + file.string(), errno);
  return {};
}

Result<void> write_ref(const RepositoryPaths& paths, const std::string& revision, const std::string& commit) {
  if (revision == commit || read_ref(paths, revision) == commit) return {};
  const fs::path file = paths.refs / revision;
  TRY(ensure_folder(file.parent_path()));
  // Not beside it: whatever lies in refs is a ref.
  return write_whole_file(file, commit, paths.root / ".ref.new");
}

Result<void> link_blob(const RepositoryPaths& paths, const std::string& commit, const std::string& file,
                       const std::string& etag) {
  const fs::path link = paths.snapshots / commit / file;
  const fs::path target = paths.blob(etag).lexically_relative(link.parent_path());
  std::error_code code;
  if (fs::read_symlink(link, code) == target && !code) return {};
  TRY(ensure_folder(link.parent_path()));
  if (::symlink(target.c_str(), link.c_str()) == 0) return {};
  if (errno != EEXIST) return io_error("cannot make the link " + link.string(), errno);
  // Another's is there, to other bytes or to none. By a name of its own the new one takes its place: a reader
  // sees the one or the other.
  const fs::path fresh = paths.root / ".link.new";
  ::unlink(fresh.c_str());
  if (::symlink(target.c_str(), fresh.c_str()) != 0 || ::rename(fresh.c_str(), link.c_str()) != 0)
    return io_error("cannot make the link " + link.string(), errno);
  return {};
}

Result<Removed> remove_model_folder(const fs::path& folder, std::uint64_t size_bytes) {
  const fs::path repository = folder.parent_path().parent_path();
  if (folder.parent_path().filename() == "snapshots") {
    if (const std::string id = repository_of_folder(repository.filename().string()); !id.empty())
      return remove_repository(repository.parent_path(), id);
  }
  std::error_code code;
  Removed removed;
  removed.freed_bytes = fs::is_symlink(folder, code) ? 0 : size_bytes;
  TRY(remove_tree(folder));
  return removed;
}

Result<Removed> remove_repository(const fs::path& cache, const std::string& repository) {
  TRY(check_repository_id(repository));
  const RepositoryPaths paths(cache, repository);
  std::error_code code;
  if (!fs::is_directory(paths.root, code)) return not_cached(repository, cache);
  const CachedRepository found = scan_repository(paths.root);
  Removed removed;
  removed.freed_bytes = found.size_bytes + found.incomplete_bytes;
  for (const CachedRevision& revision : found.revisions) {
    removed.commits.push_back(revision.commit);
    removed.refs.insert(removed.refs.end(), revision.refs.begin(), revision.refs.end());
  }
  // Names first: what a kill leaves behind is then no model any more.
  TRY(remove_tree(paths.refs));
  TRY(remove_tree(paths.snapshots));
  TRY(remove_tree(paths.root));
  TRY(remove_tree(paths.locks));
  return removed;
}

Result<Removed> remove_revision(const fs::path& cache, const std::string& repository,
                                const std::string& commit) {
  TRY(check_repository_id(repository));
  TRY(check_revision(commit));
  const RepositoryPaths paths(cache, repository);
  const CachedRepository found = scan_repository(paths.root);
  const auto going = std::find_if(found.revisions.begin(), found.revisions.end(),
                                  [&](const CachedRevision& each) { return each.commit == commit; });
  if (going == found.revisions.end()) return not_cached(repository + " at " + commit, cache);
  if (found.revisions.size() == 1 && found.incomplete_bytes == 0) return remove_repository(cache, repository);

  std::set<std::string> kept;
  for (const CachedRevision& revision : found.revisions) {
    if (revision.commit == commit) continue;
    for (const CachedFile& file : revision.files) kept.insert(file.blob.string());
  }
  Removed removed;
  removed.commits = {commit};
  removed.refs = going->refs;
  for (const std::string& ref : going->refs) TRY(remove_tree(paths.refs / ref));
  TRY(remove_tree(going->folder));
  TRY(remove_tree(paths.root / ".no_exist" / commit));
  TRY(remove_tree(paths.root / "trees" / (commit + ".json")));
  std::set<std::string> freed;
  for (const CachedFile& file : going->files) {
    if (kept.contains(file.blob.string()) || !freed.insert(file.blob.string()).second) continue;
    // Only what lies among this repository's blobs: a link may point anywhere.
    if (file.blob.parent_path() != paths.blobs) continue;
    TRY(remove_tree(file.blob));
    removed.freed_bytes += file.size_bytes;
  }
  return removed;
}

BlobLock& BlobLock::operator=(BlobLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

BlobLock::~BlobLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<bool> BlobLock::try_acquire(const fs::path& file, BlobLock& lock) {
  TRY(ensure_folder(file.parent_path()));
  BlobLock taken;
  // Group-writable as huggingface_hub makes them, for caches that several users share.
  taken.descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664);
  if (taken.descriptor_ < 0) return io_error("cannot open the lock " + file.string(), errno);
  if (::flock(taken.descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK || errno == EINTR) return false;
    return io_error("cannot take the lock " + file.string(), errno);
  }
  // A holder may have removed the file meanwhile: then this is no lock any more.
  struct stat status {};
  if (::fstat(taken.descriptor_, &status) != 0 || status.st_nlink == 0) return false;
  lock = std::move(taken);
  return true;
}

}  // namespace mlxd
