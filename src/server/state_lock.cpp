#include "server/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace mlxd {

Result<StateLock> StateLock::take(const std::filesystem::path& state_folder) {
  const std::string file = (state_folder / "mlxd.lock").string();
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return io_error("cannot open " + file, errno);
  StateLock lock(descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return io_error("cannot lock " + file, errno);
  return Error(ErrorKind::kConflict, "another mlxd uses the state folder " + state_folder.string() +
                                         ": stop it, or give this one another folder with --home");
}

StateLock::~StateLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace mlxd
