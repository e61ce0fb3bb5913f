#include "catalog/model_digest.h"

#include <algorithm>
#include <system_error>
#include <vector>

#include "catalog/blob_hash.h"
#include "catalog/hub_names.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

// The blob that a snapshot's link names, by its hash; empty for other files.
std::string blob_hash_of(const fs::path& file) {
  constexpr std::size_t kSha256Digits = 64;
  constexpr std::size_t kGitDigits = 40;
  std::error_code code;
  if (!fs::is_symlink(file, code)) return {};
  const std::string blob = fs::read_symlink(file, code).filename().string();
  return !code && (is_hash(blob, kSha256Digits) || is_hash(blob, kGitDigits)) ? blob : std::string();
}

}  // namespace

Result<std::string> model_digest(const fs::path& folder) {
  std::vector<std::string> lines;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code code;
    if (!it->is_regular_file(code)) continue;
    std::string line = it->path().filename().string() + '\n' + std::to_string(it->file_size(code)) + '\n';
    if (const std::string hash = blob_hash_of(it->path()); !hash.empty())
      line += hash;
    else
      line += std::to_string(fs::last_write_time(it->path(), code).time_since_epoch().count());
    if (!code) lines.push_back(std::move(line));
  }
  if (error) return io_error("cannot read " + folder.string(), error.value());
  std::sort(lines.begin(), lines.end());
  BlobHash hash = TRY(BlobHash::sha256());
  for (std::string& line : lines) {
    line += '\n';
    hash.update(line);
  }
  return hash.finish();
}

}  // namespace mlxd
