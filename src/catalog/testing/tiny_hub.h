// A hub of one repository for tests, on a loopback socket: serves its files with ranges, and can hold an
// answer back after some bytes until it is let go.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "catalog/blob_hash.h"

namespace mlxd::testing {

class TinyHub {
 public:
  static constexpr const char* kRepository = "org/tiny";
  static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

  explicit TinyHub(std::map<std::string, std::string> files) : files_(std::move(files)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      std::abort();
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { accept_all(); });
  }
  ~TinyHub() {
    release();
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    for (std::thread& each : connections_) each.join();
  }

  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }

  /// From now on a file's answer stops after so many bytes until `release`.
  void hold_after(std::size_t bytes) {
    const MutexLock lock(mutex_);
    hold_after_ = bytes;
  }
  /// Ends held answers where they stand.
  void release() {
    const MutexLock lock(mutex_);
    hold_after_.reset();
    changed_.notify_all();
  }
  /// Offsets asked for of a file, 0 without a range.
  std::vector<std::size_t> offsets(const std::string& path) {
    const MutexLock lock(mutex_);
    return offsets_[path];
  }

  static std::string sha256(const std::string& bytes) {
    auto hash = BlobHash::sha256().take_value();
    hash.update(bytes);
    return hash.finish();
  }

 private:
  void accept_all() {
    for (;;) {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) return;
      connections_.emplace_back([this, connection] {
        serve(connection);
        ::close(connection);
      });
    }
  }

  static bool send_all(int connection, const char* data, std::size_t size) {
    while (size > 0) {
      const ssize_t count = ::send(connection, data, size, MSG_NOSIGNAL);
      if (count <= 0) return false;
      data += count;
      size -= static_cast<std::size_t>(count);
    }
    return true;
  }

  void serve(int connection) {
    std::string request;
    char buffer[4096];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t count = ::recv(connection, buffer, sizeof(buffer), 0);
      if (count <= 0) return;
      request.append(buffer, static_cast<std::size_t>(count));
    }
    const std::size_t begin = request.find(' ') + 1;
    const std::string target = request.substr(begin, request.find(' ', begin) - begin);
    std::size_t offset = 0;
    if (const std::size_t range = request.find("Range: bytes="); range != std::string::npos)
      offset = static_cast<std::size_t>(std::atoll(request.c_str() + range + std::strlen("Range: bytes=")));
    if (target.starts_with("/api/models/")) return answer(connection, 200, listing(), 0);
    for (const auto& [path, bytes] : files_) {
      if (!target.ends_with("/" + path)) continue;
      {
        const MutexLock lock(mutex_);
        offsets_[path].push_back(offset);
      }
      return answer(connection, offset > 0 ? 206 : 200, bytes, offset);
    }
    answer(connection, 404, "{}", 0);
  }

  void answer(int connection, int status, const std::string& body, std::size_t offset) {
    std::string head = "HTTP/1.1 " + std::to_string(status) +
                       " X\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size() - offset) +
                       "\r\n";
    if (status == 206)
      head += "Content-Range: bytes " + std::to_string(offset) + "-" + std::to_string(body.size() - 1) + "/" +
              std::to_string(body.size()) + "\r\n";
    head += "\r\n";
    if (!send_all(connection, head.data(), head.size())) return;
    std::size_t first = body.size() - offset;
    {
      const MutexLock lock(mutex_);
      if (hold_after_ && body[0] != '{' && *hold_after_ < first) first = *hold_after_;
    }
    if (!send_all(connection, body.data() + offset, first) || first == body.size() - offset) return;
    const MutexLock lock(mutex_);
    while (hold_after_) changed_.wait(mutex_);
  }

  std::string listing() const {
    std::string out =
        std::string(R"({"id":")") + kRepository + R"(","sha":")" + kCommit + R"(","siblings":[)";
    bool first = true;
    for (const auto& [path, bytes] : files_) {
      out += first ? "" : ",";
      first = false;
      const std::string size = std::to_string(bytes.size());
      auto git = BlobHash::git_blob(bytes.size()).take_value();
      git.update(bytes);
      out += R"({"rfilename":")" + path + R"(","size":)" + size + R"(,"blobId":")" + git.finish() + R"(")";
      if (path.ends_with(".safetensors"))
        out += R"(,"lfs":{"sha256":")" + sha256(bytes) + R"(","size":)" + size + R"(,"pointerSize":134})";
      out += "}";
    }
    return out + "]}";
  }

  const std::map<std::string, std::string> files_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  Mutex mutex_;
  CondVar changed_;
  std::optional<std::size_t> hold_after_ GUARDED_BY(mutex_);
  std::map<std::string, std::vector<std::size_t>> offsets_ GUARDED_BY(mutex_);
  std::list<std::thread> connections_;
  std::thread thread_;
};

}  // namespace mlxd::testing
