#include "model/testing/rule_model.h"

#include <cmath>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <span>
#include <string_view>

#include "model/float_formats.h"
#include "model/json.h"
#include "model/safetensors_writer.h"

namespace mlxd::testing {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

/// SplitMix64 seeded with the name's FNV-1a hash.
class Numbers {
 public:
  explicit Numbers(std::string_view name) {
    for (const char byte : name) state_ = (state_ ^ static_cast<unsigned char>(byte)) * 0x100000001B3ULL;
  }
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }

 private:
  std::uint64_t state_ = 0xCBF29CE484222325ULL;
};

DType parse_dtype(std::string_view name) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kU8, DType::kU32, DType::kI32,
                            DType::kI64, DType::kF8E4M3}) {
    if (to_string(dtype) == name) return dtype;
  }
  return DType::kF32;
}

}  // namespace

std::vector<std::byte> make_data(const TensorRule& rule) {
  Numbers numbers(rule.name);
  std::int64_t count = 1;
  for (const std::int64_t size : rule.shape) count *= size;
  const std::size_t width = size_of(rule.dtype);
  std::vector<std::byte> data(static_cast<std::size_t>(count) * width);
  for (std::byte* out = data.data(); out != data.data() + data.size(); out += width) {
    std::uint64_t word = numbers.next();
    const double uniform = static_cast<double>(word >> 11U) * 0x1p-53;
    const double number = rule.low + (rule.high - rule.low) * uniform;
    const auto value = static_cast<float>(number);
    if (rule.high > rule.low)
      word = static_cast<std::uint64_t>(static_cast<std::int64_t>(std::floor(number)));
    const std::uint16_t half = rule.dtype == DType::kF16 ? float_to_half(value) : float_to_bfloat16(value);
    if (rule.dtype == DType::kF32) {
      std::memcpy(out, &value, width);
    } else if (rule.dtype == DType::kF16 || rule.dtype == DType::kBF16) {
      std::memcpy(out, &half, width);
    } else if (rule.dtype == DType::kF8E4M3) {
      *out = std::byte{float_to_e4m3(value)};
    } else {
      std::memcpy(out, &word, width);  // little-endian machines only, as safetensors
    }
  }
  return data;
}

namespace {

struct FileNames {
  const char* config;
  const char* tensors;
};

Result<void> write_folder(const fs::path& folder, const json::value& config,
                          const std::vector<TensorRule>& rules, const FileNames& names) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return Error(ErrorKind::kIo, "cannot create " + folder.string() + ": " + error.message());
  std::vector<TensorLayout> layouts;
  for (const TensorRule& rule : rules) layouts.push_back({rule.name, rule.dtype, rule.shape});
  SafetensorsWriter writer = TRY(SafetensorsWriter::create(folder / names.tensors, std::move(layouts)));
  for (const TensorRule& rule : rules) TRY(writer.write(rule.name, make_data(rule)));
  TRY(writer.finish());
  std::ofstream out(folder / names.config, std::ios::binary | std::ios::trunc);
  out << to_pretty_json(config);
  out.close();
  if (!out) return Error(ErrorKind::kIo, "cannot write " + (folder / names.config).string());
  return {};
}

}  // namespace

std::vector<TensorRule> read_rules(const json::object& tensors) {
  std::vector<TensorRule> rules;
  for (const auto& [key, value] : tensors) {
    const json::array& entry = value.as_array();
    TensorRule rule;
    rule.dtype = parse_dtype(entry[0].as_string());
    for (const json::value& size : entry[1].as_array()) rule.shape.push_back(size.as_int64());
    rule.low = entry[2].to_number<double>();
    rule.high = entry[3].to_number<double>();
    rule.name = std::string(key);
    if (entry.size() == 4) {
      rules.push_back(rule);
      continue;
    }
    const std::size_t star = rule.name.find('*');
    for (std::int64_t layer = 0; layer < entry[4].as_int64(); ++layer) {
      rules.push_back(rule);
      rules.back().name.replace(star, 1, std::to_string(layer));
    }
  }
  return rules;
}

Result<void> write_rule_model(const fs::path& folder, const json::value& config,
                              const std::vector<TensorRule>& rules) {
  return write_folder(folder, config, rules, {"config.json", "model.safetensors"});
}

Result<void> write_rule_adapter(const fs::path& folder, const json::value& config,
                                const std::vector<TensorRule>& rules) {
  return write_folder(folder, config, rules, {"adapter_config.json", "adapters.safetensors"});
}

}  // namespace mlxd::testing
