#include "catalog/tensor_count.h"

#include <array>
#include <boost/json.hpp>
#include <fstream>
#include <string_view>

#include "catalog/json_reading.h"

namespace mlxd {
namespace {

namespace json = boost::json;

// As the format's own reader limits it.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::int64_t kMaxElements = std::int64_t{1} << 50U;

std::int64_t elements_of(const json::object& tensor) {
  const json::value* shape = tensor.if_contains("shape");
  if (shape == nullptr || !shape->is_array()) return 0;
  std::int64_t elements = 1;
  for (const json::value& size : shape->get_array()) {
    if (!size.is_int64() || size.get_int64() < 0) return 0;
    if (size.get_int64() > 0 && elements > kMaxElements / size.get_int64()) return 0;
    elements *= size.get_int64();
  }
  return elements;
}

// The quantization of one matrix: that of its own entry, else the model's.
std::int64_t group_of(const json::object& quantization, const std::string& matrix) {
  if (const json::object* own = object_at(quantization, matrix))
    if (const std::int64_t group = integer_at(*own, "group_size"); group > 0) return group;
  return integer_at(quantization, "group_size");
}

}  // namespace

void TensorCount::add_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::array<char, 8> size_bytes{};
  stream.read(size_bytes.data(), size_bytes.size());
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < size_bytes.size(); ++i)
    size |= static_cast<std::uint64_t>(static_cast<unsigned char>(size_bytes[i])) << (8 * i);
  std::error_code code;
  const auto file_size = std::filesystem::file_size(file, code);
  if (!stream || code || size > kMaxHeaderBytes || size > file_size) {
    broken_ = true;
    return;
  }
  std::string text(static_cast<std::size_t>(size), '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  const auto header = stream ? parse_json_object(text, file.string()) : corrupt_data("cut");
  if (!header) {
    broken_ = true;
    return;
  }
  for (const auto& [key, value] : *header) {
    const json::object* tensor = value.if_object();
    const std::string_view name(key.data(), key.size());
    if (tensor == nullptr || name == "__metadata__") continue;
    tensors_[std::string(name)] = {text_at(*tensor, "dtype"), elements_of(*tensor)};
  }
}

std::int64_t TensorCount::num_parameters(const json::object& config) const {
  if (broken_) return 0;
  const json::object* quantization = object_at(config, "quantization");
  if (quantization == nullptr) quantization = object_at(config, "quantization_config");
  std::int64_t total = 0;
  for (const auto& [name, tensor] : tensors_) {
    const std::size_t dot = name.rfind('.');
    const std::string matrix = name.substr(0, dot == std::string::npos ? 0 : dot);
    const std::string_view last = std::string_view(name).substr(dot == std::string::npos ? 0 : dot + 1);
    const bool packed = tensors_.contains(matrix + ".scales");
    if (packed && (last == "scales" || last == "biases")) continue;
    if (!packed || last != "weight") {
      total += tensor.elements;
      continue;
    }
    // Each scale stands for a group of the matrix's columns.
    const std::int64_t group = quantization == nullptr ? 0 : group_of(*quantization, matrix);
    const std::int64_t scales = tensors_.at(matrix + ".scales").elements;
    if (group <= 0 || scales > kMaxElements / group) return 0;
    total += scales * group;
  }
  return total;
}

}  // namespace mlxd
