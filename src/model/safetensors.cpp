#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "model/json.h"

namespace mlxd {
namespace {

namespace json = boost::json;

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kMaxDimensions = 16;

std::optional<DType> parse_dtype(std::string_view name) {
  constexpr std::array kAll = {DType::kF32, DType::kF16,    DType::kBF16,   DType::kU8,
                               DType::kI8,  DType::kU16,    DType::kI16,    DType::kU32,
                               DType::kI32, DType::kU64,    DType::kI64,    DType::kBool,
                               DType::kF64, DType::kF8E4M3, DType::kF8E5M2, DType::kF8E8M0};
  for (const DType dtype : kAll) {
    if (to_string(dtype) == name) return dtype;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> as_unsigned(const json::value& value) {
  if (const auto* u = value.if_uint64()) return *u;
  if (const auto* i = value.if_int64(); i != nullptr && *i >= 0) return static_cast<std::uint64_t>(*i);
  return std::nullopt;
}

// Reads one header entry; `data` is everything after the header.
class EntryReader {
 public:
  EntryReader(const std::string& file, std::span<const std::byte> data) : file_(file), data_(data) {}

  Result<TensorView> read(std::string_view name, const json::value& entry) const {
    const auto* object = entry.if_object();
    if (object == nullptr) return corrupt(name, "its header entry is not an object");
    TensorView tensor;
    tensor.name = name;
    const json::value* dtype = object->if_contains("dtype");
    if (dtype == nullptr || !dtype->is_string()) return corrupt(name, "dtype is missing");
    const auto known = parse_dtype(dtype->get_string());
    if (!known) {
      return unsupported(file_ + ": tensor " + std::string(name) + ": dtype " +
                         std::string(dtype->get_string().subview(0, 32)) + " is not supported");
    }
    tensor.dtype = *known;
    const std::uint64_t size = TRY(read_shape(*object, tensor));
    const json::value* offsets = object->if_contains("data_offsets");
    const auto* pair = offsets != nullptr ? offsets->if_array() : nullptr;
    if (pair == nullptr || pair->size() != 2) return corrupt(name, "data_offsets must be two numbers");
    const auto begin = as_unsigned((*pair)[0]);
    const auto end = as_unsigned((*pair)[1]);
    if (!begin || !end || *begin > *end) {
      return corrupt(name, "data_offsets must be two numbers in ascending order");
    }
    if (*end > data_.size()) {
      return corrupt(name, "its data ends at byte " + std::to_string(*end) + " but the file holds " +
                               std::to_string(data_.size()) + ": it is truncated; download it again");
    }
    if (*end - *begin != size) {
      return corrupt(name, "has " + std::to_string(*end - *begin) + " bytes but its shape and dtype need " +
                               std::to_string(size));
    }
    tensor.data = data_.subspan(*begin, size);
    return tensor;
  }

  Error corrupt(std::string_view name, const std::string& problem) const {
    return corrupt_data(file_ + ": tensor " + std::string(name.substr(0, 200)) + ": " + problem);
  }

 private:
  // Fills tensor.shape; returns the bytes that it needs.
  Result<std::uint64_t> read_shape(const json::object& object, TensorView& tensor) const {
    const json::value* shape = object.if_contains("shape");
    const auto* dimensions = shape != nullptr ? shape->if_array() : nullptr;
    if (dimensions == nullptr) return corrupt(tensor.name, "shape is missing");
    if (dimensions->size() > kMaxDimensions) return corrupt(tensor.name, "has more than 16 dimensions");
    // Bounding every dimension also bounds products of the others when one of them is zero.
    constexpr std::uint64_t kLimit = std::numeric_limits<std::int64_t>::max();
    std::uint64_t bytes = size_of(tensor.dtype);
    std::uint64_t nonzero_product = bytes;
    for (const json::value& element : *dimensions) {
      const auto dimension = as_unsigned(element);
      if (!dimension) return corrupt(tensor.name, "shape must hold integers of at least 0");
      if (*dimension > 0 && nonzero_product > kLimit / *dimension) {
        return corrupt(tensor.name, "its shape is impossibly large");
      }
      if (*dimension > 0) nonzero_product *= *dimension;
      bytes *= *dimension;
      tensor.shape.push_back(static_cast<std::int64_t>(*dimension));
    }
    return bytes;
  }

  const std::string& file_;
  std::span<const std::byte> data_;
};

Result<void> check_overlaps(const std::vector<TensorView>& sorted, const std::string& file) {
  const TensorView* previous = nullptr;
  for (const TensorView& tensor : sorted) {
    if (tensor.data.empty()) continue;
    if (previous != nullptr && tensor.data.data() < previous->data.data() + previous->data.size()) {
      return corrupt_data(file + ": tensor " + tensor.name + ": its data overlaps that of " + previous->name);
    }
    previous = &tensor;
  }
  return {};
}

}  // namespace

Result<std::vector<TensorView>> read_safetensors(const MappedFile& file) {
  const std::string path = file.path().string();
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() < kLengthBytes) {
    return corrupt_data(path + ": " + std::to_string(bytes.size()) +
                        " bytes is too short for a safetensors file; download it again");
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i)
    length |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  if (length > kMaxSafetensorsHeaderBytes || length > bytes.size() - kLengthBytes) {
    return corrupt_data(path + ": its header claims " + std::to_string(length) + " bytes of a file of " +
                        std::to_string(bytes.size()) + "; it is truncated or not a safetensors file");
  }
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  if (!header.starts_with('{'))
    return corrupt_data(path + ": not a safetensors file: its header is not JSON");
  const json::value value = TRY(parse_json(header, path));
  const auto* entries = value.if_object();
  if (entries == nullptr) return corrupt_data(path + ": its header must hold a JSON object");
  if (const auto duplicate = find_duplicate_key(header)) {
    return corrupt_data(path + ": tensor " + *duplicate + ": named twice in the header");
  }

  const EntryReader reader(path, bytes.subspan(kLengthBytes + length));
  std::vector<TensorView> tensors;
  tensors.reserve(entries->size());
  for (const auto& [key, entry] : *entries) {
    const std::string_view name(key.data(), key.size());
    if (name == "__metadata__") continue;
    if (name.empty()) return corrupt_data(path + ": a tensor has an empty name");
    tensors.push_back(TRY(reader.read(name, entry)));
  }
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorView& a, const TensorView& b) { return a.data.data() < b.data.data(); });
  TRY(check_overlaps(tensors, path));
  return tensors;
}

}  // namespace mlxd
