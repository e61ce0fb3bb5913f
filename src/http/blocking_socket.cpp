#include "http/blocking_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <utility>

namespace mlxd::http {
namespace {

#if defined(MSG_NOSIGNAL)
constexpr int kSendFlags = MSG_NOSIGNAL;
#else
constexpr int kSendFlags = 0;  // SO_NOSIGPIPE is set on the socket instead
#endif

Result<void> wait_for(int descriptor, short events, std::chrono::milliseconds timeout, const char* what) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{.fd = descriptor, .events = events, .revents = 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<long long>(left.count(), 0, INT_MAX)));
    if (ready > 0) return {};
    if (ready == 0) return Error(ErrorKind::kTimeout, std::string("the server did not ") + what + " in time");
    if (errno != EINTR) return io_error("cannot wait for the server", errno);
  }
}

Result<void> finish_connecting(int descriptor, std::chrono::milliseconds timeout) {
  TRY(wait_for(descriptor, POLLOUT, timeout, "accept the connection"));
  int failure = 0;
  socklen_t size = sizeof(failure);
  ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &size);
  if (failure != 0) return io_error("cannot connect", failure);
  return {};
}

}  // namespace

Result<BlockingSocket> BlockingSocket::connect(const std::string& host, std::uint16_t port,
                                               std::chrono::milliseconds timeout) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string service = std::to_string(port);
  if (const int code = ::getaddrinfo(host.c_str(), service.c_str(), &hints, &found); code != 0)
    return invalid_argument("cannot find host '" + host + "': " + ::gai_strerror(code));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
  Error last(ErrorKind::kUnavailable, "");
  for (const addrinfo* entry = addresses.get(); entry != nullptr; entry = entry->ai_next) {
    BlockingSocket socket(::socket(entry->ai_family, entry->ai_socktype, entry->ai_protocol));
    if (socket.descriptor_ < 0) continue;
    const int on = 1;
    ::fcntl(socket.descriptor_, F_SETFD, FD_CLOEXEC);
    ::fcntl(socket.descriptor_, F_SETFL, ::fcntl(socket.descriptor_, F_GETFL) | O_NONBLOCK);
    ::setsockopt(socket.descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
#if defined(SO_NOSIGPIPE)
    ::setsockopt(socket.descriptor_, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
#endif
    if (::connect(socket.descriptor_, entry->ai_addr, entry->ai_addrlen) == 0) return socket;
    if (errno == EINPROGRESS) {
      auto connected = finish_connecting(socket.descriptor_, timeout);
      if (connected.ok()) return socket;
      last = connected.take_error();
    } else {
      last = io_error("cannot connect", errno);
    }
  }
  const ErrorKind kind = last.kind == ErrorKind::kTimeout ? ErrorKind::kTimeout : ErrorKind::kUnavailable;
  return Error(kind, "no server answers at " + host + ":" + service +
                         (last.message.empty() ? "" : " (" + last.message + ")"));
}

BlockingSocket::BlockingSocket(BlockingSocket&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

BlockingSocket& BlockingSocket::operator=(BlockingSocket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

BlockingSocket::~BlockingSocket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void> BlockingSocket::write_all(std::string_view bytes, std::chrono::milliseconds timeout) {
  while (!bytes.empty()) {
    const ssize_t written = ::send(descriptor_, bytes.data(), bytes.size(), kSendFlags);
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      TRY(wait_for(descriptor_, POLLOUT, timeout, "take the request"));
    } else if (errno != EINTR) {
      return io_error("cannot send the request", errno);
    }
  }
  return {};
}

Result<std::size_t> BlockingSocket::read_some(std::span<char> buffer, std::chrono::milliseconds timeout) {
  for (;;) {
    const ssize_t size = ::recv(descriptor_, buffer.data(), buffer.size(), 0);
    if (size >= 0) return static_cast<std::size_t>(size);
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      TRY(wait_for(descriptor_, POLLIN, timeout, "answer"));
    } else if (errno != EINTR) {
      return io_error("cannot read the answer", errno);
    }
  }
}

void BlockingSocket::shutdown_write() { ::shutdown(descriptor_, SHUT_WR); }

}  // namespace mlxd::http
