// A connected TCP socket with time-outs on each wait, over the operating system's calls. Movable, one owner.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mlxd::http {

class BlockingSocket {
 public:
  /// Tries each address of `host` in turn. Errors: kUnavailable, kTimeout, kInvalidArgument (unknown host).
  static Result<BlockingSocket> connect(const std::string& host, std::uint16_t port,
                                        std::chrono::milliseconds timeout);
  BlockingSocket(BlockingSocket&& other) noexcept;
  BlockingSocket& operator=(BlockingSocket&& other) noexcept;
  ~BlockingSocket();

  Result<void> write_all(std::string_view bytes, std::chrono::milliseconds timeout);
  /// At least one byte, or 0 at the end of input.
  Result<std::size_t> read_some(std::span<char> buffer, std::chrono::milliseconds timeout);
  /// Tells the peer that no more will be written.
  void shutdown_write();
  int descriptor() const { return descriptor_; }

 private:
  explicit BlockingSocket(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

}  // namespace mlxd::http
