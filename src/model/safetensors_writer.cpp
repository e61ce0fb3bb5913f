#include "model/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <utility>

namespace mlxd {

namespace json = boost::json;

std::size_t TensorLayout::num_bytes() const {
  std::size_t bytes = size_of(dtype);
  for (const std::int64_t dimension : shape) bytes *= static_cast<std::size_t>(dimension);
  return bytes;
}

Result<SafetensorsWriter> SafetensorsWriter::create(const std::filesystem::path& path,
                                                    std::vector<TensorLayout> tensors) {
  // Widest elements first, as the format's own library does: every tensor is then aligned to its element.
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorLayout& a, const TensorLayout& b) {
    return size_of(a.dtype) > size_of(b.dtype);
  });
  SafetensorsWriter writer;
  json::object header;
  header["__metadata__"] = json::object{{"format", "mlx"}};
  std::uint64_t offset = 0;
  for (const TensorLayout& tensor : tensors) {
    const std::uint64_t size = tensor.num_bytes();
    if (!writer.slots_.emplace(tensor.name, Slot{offset, size, 0}).second) {
      return invalid_argument("tensor " + tensor.name + " is given twice");
    }
    json::object entry;
    entry["dtype"] = json::string_view(to_string(tensor.dtype).data(), to_string(tensor.dtype).size());
    entry["shape"] = json::array(tensor.shape.begin(), tensor.shape.end());
    entry["data_offsets"] = json::array{offset, offset + size};
    header[tensor.name] = std::move(entry);
    offset += size;
  }
  std::string text = json::serialize(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string prefix(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) prefix[i] = static_cast<char>((text.size() >> (8 * i)) & 0xFFU);
  prefix += text;
  for (auto& [name, slot] : writer.slots_) slot.offset += prefix.size();

  writer.path_ = path;
  writer.file_bytes_ = prefix.size() + offset;
  writer.fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (writer.fd_ < 0) return io_error("cannot create " + path.string(), errno);
  TRY(writer.write_at(0, std::as_bytes(std::span(prefix))));
  return writer;
}

SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      slots_(std::move(other.slots_)),
      file_bytes_(other.file_bytes_) {}

SafetensorsWriter& SafetensorsWriter::operator=(SafetensorsWriter&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(slots_, other.slots_);
  std::swap(file_bytes_, other.file_bytes_);
  return *this;
}

SafetensorsWriter::~SafetensorsWriter() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> SafetensorsWriter::write(std::string_view name, std::span<const std::byte> data) {
  const auto found = slots_.find(std::string(name));
  if (found == slots_.end() || found->second.size != data.size()) {
    return Error(ErrorKind::kInternal, "tensor " + std::string(name) + " was not announced like this");
  }
  return write_part(name, 0, data);
}

Result<void> SafetensorsWriter::write_part(std::string_view name, std::uint64_t offset,
                                           std::span<const std::byte> data) {
  const auto found = slots_.find(std::string(name));
  if (found == slots_.end()) {
    return Error(ErrorKind::kInternal, "tensor " + std::string(name) + " was not announced");
  }
  Slot& slot = found->second;
  if (offset > slot.size || data.size() > slot.size - offset || data.size() > slot.size - slot.written) {
    return Error(ErrorKind::kInternal, "tensor " + std::string(name) + " has more data than was announced");
  }
  TRY(write_at(slot.offset + offset, data));
  slot.written += data.size();
  return {};
}

Result<void> SafetensorsWriter::finish() {
  for (const auto& [name, slot] : slots_) {
    if (slot.written != slot.size)
      return Error(ErrorKind::kInternal, "tensor " + name + " was announced but not written");
  }
  if (::fsync(fd_) != 0) return io_error("cannot flush " + path_.string(), errno);
  if (::close(std::exchange(fd_, -1)) != 0) return io_error("cannot close " + path_.string(), errno);
  return {};
}

Result<void> SafetensorsWriter::write_at(std::uint64_t offset, std::span<const std::byte> data) const {
  while (!data.empty()) {
    const ssize_t written = ::pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return io_error("cannot write " + path_.string(), errno);
    }
    data = data.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

}  // namespace mlxd
