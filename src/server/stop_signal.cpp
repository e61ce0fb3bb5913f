#include "server/stop_signal.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>

namespace mlxd {
namespace {

// Where the handler writes; -1: no StopSignal exists.
std::atomic<int> signal_pipe{-1};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may not wait for a lock");

void on_signal(int) {
  const int saved_errno = errno;
  const char byte = static_cast<char>(StopSignal::Ring::kStop);
  if (const int pipe = signal_pipe; pipe >= 0) {
    // A full pipe has rung often enough.
    [[maybe_unused]] const ssize_t written = ::write(pipe, &byte, 1);
  }
  errno = saved_errno;
}

}  // namespace

Result<std::unique_ptr<StopSignal>> StopSignal::create() {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return io_error("cannot make a pipe for signals", errno);
  for (const int end : ends) {
    ::fcntl(end, F_SETFD, FD_CLOEXEC);
    ::fcntl(end, F_SETFL, O_NONBLOCK);
  }
  int none = -1;
  if (!signal_pipe.compare_exchange_strong(none, ends[1])) {
    ::close(ends[0]);
    ::close(ends[1]);
    return Error(ErrorKind::kConflict, "this process already runs a server");
  }
  return std::unique_ptr<StopSignal>(new StopSignal(ends[0], ends[1]));
}

StopSignal::StopSignal(int read_end, int write_end) : read_end_(read_end), write_end_(write_end) {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGTERM, &action, &old_terminate_);
  ::sigaction(SIGINT, &action, &old_interrupt_);
}

StopSignal::~StopSignal() {
  ::sigaction(SIGTERM, &old_terminate_, nullptr);
  ::sigaction(SIGINT, &old_interrupt_, nullptr);
  signal_pipe = -1;
  ::close(read_end_);
  ::close(write_end_);
}

void StopSignal::ring(Ring ring) {
  const char byte = static_cast<char>(ring);
  [[maybe_unused]] const ssize_t written = ::write(write_end_, &byte, 1);
}

std::optional<StopSignal::Ring> StopSignal::wait(std::optional<TimePoint> deadline) {
  for (;;) {
    char byte = 0;
    if (::read(read_end_, &byte, 1) == 1) return static_cast<Ring>(byte);
    int timeout_ms = -1;
    if (deadline) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::real().now());
      if (left.count() <= 0) return std::nullopt;
      timeout_ms = static_cast<int>(std::min<long long>(left.count(), INT_MAX));
    }
    pollfd entry{.fd = read_end_, .events = POLLIN, .revents = 0};
    ::poll(&entry, 1, timeout_ms);
  }
}

}  // namespace mlxd
