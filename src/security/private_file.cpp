#include "security/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace mlxd {
namespace {

int write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::fsync(descriptor) == 0 ? 0 : errno;
}

}  // namespace

Result<void> write_private_file(const std::filesystem::path& file, std::string_view text) {
  const std::string fresh = file.string() + "." + std::to_string(::getpid()) + ".part";
  ::unlink(fresh.c_str());
  const int descriptor = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) return io_error("cannot write " + fresh, errno);
  int failure = write_all(descriptor, text);
  if (::close(descriptor) != 0 && failure == 0) failure = errno;
  if (failure == 0 && ::rename(fresh.c_str(), file.c_str()) != 0) failure = errno;
  if (failure != 0) {
    ::unlink(fresh.c_str());
    return io_error("cannot write " + file.string(), failure);
  }
  // The new name must be on the disk too.
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  if (const int place = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); place >= 0) {
    ::fsync(place);
    ::close(place);
  }
  return {};
}

}  // namespace mlxd
