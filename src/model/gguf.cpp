#include "model/gguf.h"

#include <bit>
#include <cstring>
#include <limits>
#include <utility>

namespace mlxd {
namespace {

constexpr std::uint64_t kMaxMetadataEntries = 1U << 20U;
constexpr std::uint64_t kMaxTensors = 1U << 20U;
constexpr std::uint64_t kMaxKeyBytes = 65'535;  // the format's own limit
constexpr std::uint64_t kMaxTensorNameBytes = 1'024;
constexpr std::uint32_t kMaxDimensions = 4;
constexpr std::uint32_t kMaxAlignment = 1U << 20U;

enum class ValueType : std::uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// Bytes of a fixed-size value; 0 for strings, arrays and unknown types.
std::size_t fixed_size(ValueType type) {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kI8:
    case ValueType::kBool:
      return 1;
    case ValueType::kU16:
    case ValueType::kI16:
      return 2;
    case ValueType::kU32:
    case ValueType::kI32:
    case ValueType::kF32:
      return 4;
    case ValueType::kU64:
    case ValueType::kI64:
    case ValueType::kF64:
      return 8;
    case ValueType::kString:
    case ValueType::kArray:
      return 0;
  }
  return 0;
}

// Reads forward through the file; no read leaves it.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }
  Error corrupt(const std::string& problem) const { return corrupt_data(file_ + ": " + problem); }

  template <typename T>
  Result<T> read(std::string_view what) {
    if (remaining() < sizeof(T)) return truncated(what);
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  Result<std::string_view> read_string(std::string_view what, std::uint64_t max_bytes) {
    const auto size = TRY(read<std::uint64_t>(what));
    if (size > remaining()) return truncated(what);
    if (size > max_bytes) return corrupt(std::string(what) + " is " + std::to_string(size) + " bytes long");
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + position_, size);
    position_ += size;
    return text;
  }

  Error truncated(std::string_view what) const {
    return corrupt("ends inside " + std::string(what) + ": it is truncated; download it again");
  }

 private:
  std::span<const std::byte> bytes_;
  std::string file_;
  std::size_t position_ = 0;
};

Result<std::int64_t> read_integer(Cursor& cursor, ValueType type, const std::string& key) {
  switch (type) {
    case ValueType::kU8:
      return std::int64_t{TRY(cursor.read<std::uint8_t>(key))};
    case ValueType::kI8:
      return std::int64_t{TRY(cursor.read<std::int8_t>(key))};
    case ValueType::kU16:
      return std::int64_t{TRY(cursor.read<std::uint16_t>(key))};
    case ValueType::kI16:
      return std::int64_t{TRY(cursor.read<std::int16_t>(key))};
    case ValueType::kU32:
      return std::int64_t{TRY(cursor.read<std::uint32_t>(key))};
    case ValueType::kI32:
      return std::int64_t{TRY(cursor.read<std::int32_t>(key))};
    case ValueType::kI64:
      return TRY(cursor.read<std::int64_t>(key));
    default:
      break;
  }
  const auto value = TRY(cursor.read<std::uint64_t>(key));
  if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return cursor.corrupt(key + ": " + std::to_string(value) + " is impossibly large");
  }
  return static_cast<std::int64_t>(value);
}

Result<double> read_number(Cursor& cursor, ValueType type, const std::string& key) {
  if (type == ValueType::kF32) return double{TRY(cursor.read<float>(key))};
  return TRY(cursor.read<double>(key));
}

Result<GgufArray> read_array(Cursor& cursor, const std::string& key) {
  const auto type = static_cast<ValueType>(TRY(cursor.read<std::uint32_t>(key)));
  const auto count = TRY(cursor.read<std::uint64_t>(key));
  // What the file can hold bounds what is allocated: eight bytes at least for each string.
  const std::size_t least = type == ValueType::kString ? 8 : fixed_size(type);
  if (least == 0) return cursor.corrupt(key + ": arrays of this type are not part of the format");
  if (count > cursor.remaining() / least) return cursor.truncated(key);
  if (type == ValueType::kString) {
    std::vector<std::string_view> strings;
    strings.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      strings.push_back(TRY(cursor.read_string(key, std::numeric_limits<std::uint64_t>::max())));
    }
    return GgufArray(std::move(strings));
  }
  if (type == ValueType::kBool) {
    std::vector<bool> flags;
    for (std::uint64_t i = 0; i < count; ++i) flags.push_back(TRY(cursor.read<std::uint8_t>(key)) != 0);
    return GgufArray(std::move(flags));
  }
  if (type == ValueType::kF32 || type == ValueType::kF64) {
    std::vector<double> numbers;
    numbers.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) numbers.push_back(TRY(read_number(cursor, type, key)));
    return GgufArray(std::move(numbers));
  }
  std::vector<std::int64_t> integers;
  integers.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) integers.push_back(TRY(read_integer(cursor, type, key)));
  return GgufArray(std::move(integers));
}

Result<GgufValue> read_value(Cursor& cursor, const std::string& key) {
  const auto number = TRY(cursor.read<std::uint32_t>(key));
  const auto type = static_cast<ValueType>(number);
  switch (type) {
    case ValueType::kString:
      return GgufValue(TRY(cursor.read_string(key, std::numeric_limits<std::uint64_t>::max())));
    case ValueType::kArray:
      return GgufValue(TRY(read_array(cursor, key)));
    case ValueType::kBool:
      return GgufValue(TRY(cursor.read<std::uint8_t>(key)) != 0);
    case ValueType::kF32:
    case ValueType::kF64:
      return GgufValue(TRY(read_number(cursor, type, key)));
    default:
      break;
  }
  if (fixed_size(type) == 0)
    return cursor.corrupt(key + ": has unknown value type " + std::to_string(number));
  return GgufValue(TRY(read_integer(cursor, type, key)));
}

struct TensorHeader {
  GgufTensor tensor;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

// What there is to do about a type that cannot be read.
std::string advice_about(std::uint32_t type) {
  constexpr const char* kKnown =
      "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL or IQ4_XS";
  // These name entries of codebooks that only ggml's sources hold.
  const std::string name = gguf_type_name(type);
  const bool has_codebook = name.starts_with("IQ1") || name.starts_with("IQ2") || name.starts_with("IQ3");
  return std::string(has_codebook ? " holds indices into ggml's codebooks, which are" : " is") +
         " not supported; use a file of the same model of type " + kKnown;
}

Result<TensorHeader> read_tensor_header(Cursor& cursor, const std::string& file) {
  TensorHeader header;
  header.tensor.name = TRY(cursor.read_string("a tensor's name", kMaxTensorNameBytes));
  const std::string what = "tensor " + header.tensor.name;
  const auto dimensions = TRY(cursor.read<std::uint32_t>(what));
  if (dimensions == 0 || dimensions > kMaxDimensions) {
    return cursor.corrupt(what + ": has " + std::to_string(dimensions) + " dimensions, must have 1 to 4");
  }
  constexpr std::uint64_t kLimit = std::uint64_t{1} << 48U;
  std::uint64_t elements = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto size = TRY(cursor.read<std::uint64_t>(what));
    if (size == 0 || size > kLimit / elements) {
      return cursor.corrupt(what + ": dimension " + std::to_string(size) + " is impossible");
    }
    elements *= size;
    header.tensor.shape.insert(header.tensor.shape.begin(), static_cast<std::int64_t>(size));
  }
  const auto type = TRY(cursor.read<std::uint32_t>(what));
  header.offset = TRY(cursor.read<std::uint64_t>(what));
  header.tensor.type = static_cast<GgufType>(type);
  const GgufBlock block = block_of(header.tensor.type);
  if (block.elements == 0) {
    return unsupported(file + ": " + what + ": type " + gguf_type_name(type) + advice_about(type));
  }
  if (header.tensor.shape.back() % block.elements != 0) {
    return cursor.corrupt(what + ": its rows of " + std::to_string(header.tensor.shape.back()) +
                          " are not whole blocks of " + std::to_string(block.elements));
  }
  header.bytes =
      elements / static_cast<std::uint64_t>(block.elements) * static_cast<std::uint64_t>(block.bytes);
  return header;
}

Result<std::uint64_t> read_alignment(const Cursor& cursor, const GgufValue* value) {
  if (value == nullptr) return std::uint64_t{32};
  const auto* alignment = std::get_if<std::int64_t>(value);
  if (alignment == nullptr || *alignment < 1 || *alignment > kMaxAlignment ||
      !std::has_single_bit(static_cast<std::uint64_t>(*alignment))) {
    return cursor.corrupt("general.alignment must be a power of two of at most 1048576");
  }
  return static_cast<std::uint64_t>(*alignment);
}

}  // namespace

std::string gguf_type_name(std::uint32_t type) {
  static constexpr const char* kNames[] = {
      "F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
      "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
      "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
      "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
      "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
      "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",    "NVFP4"};
  if (type < std::size(kNames)) return kNames[type];
  return "number " + std::to_string(type);
}

GgufBlock block_of(GgufType type) {
  switch (type) {
    case GgufType::kF32:
      return {1, 4};
    case GgufType::kF16:
    case GgufType::kBF16:
      return {1, 2};
    case GgufType::kQ4_0:
      return {32, 18};
    case GgufType::kQ4_1:
      return {32, 20};
    case GgufType::kQ5_0:
      return {32, 22};
    case GgufType::kQ5_1:
      return {32, 24};
    case GgufType::kQ8_0:
      return {32, 34};
    case GgufType::kQ2_K:
      return {256, 84};
    case GgufType::kQ3_K:
      return {256, 110};
    case GgufType::kQ4_K:
      return {256, 144};
    case GgufType::kQ5_K:
      return {256, 176};
    case GgufType::kQ6_K:
      return {256, 210};
    case GgufType::kIQ4_NL:
      return {32, 18};
    case GgufType::kIQ4_XS:
      return {256, 136};
  }
  return {};
}

std::int64_t GgufTensor::num_elements() const {
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape) count *= dimension;
  return count;
}

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  static_assert(std::endian::native == std::endian::little);
  GgufFile gguf;
  gguf.file_ = TRY(MappedFile::open(path));
  const std::string file = path.string();
  Cursor cursor(gguf.file_.bytes(), file);
  if (cursor.remaining() < 4 || std::memcmp(gguf.file_.bytes().data(), "GGUF", 4) != 0) {
    return corrupt_data(file + ": not a GGUF file (it does not begin with GGUF)");
  }
  TRY(cursor.read<std::uint32_t>("the header"));
  const auto version = TRY(cursor.read<std::uint32_t>("the header"));
  if (version != 2 && version != 3) {
    return unsupported(file + ": GGUF version " + std::to_string(version) +
                       " is not supported; little-endian versions 2 and 3 are");
  }
  const auto num_tensors = TRY(cursor.read<std::uint64_t>("the header"));
  const auto num_entries = TRY(cursor.read<std::uint64_t>("the header"));
  if (num_tensors > kMaxTensors || num_entries > kMaxMetadataEntries) {
    return cursor.corrupt("its header claims " + std::to_string(num_tensors) + " tensors and " +
                          std::to_string(num_entries) + " metadata entries");
  }
  for (std::uint64_t i = 0; i < num_entries; ++i) {
    std::string key(TRY(cursor.read_string("a metadata key", kMaxKeyBytes)));
    GgufValue value = TRY(read_value(cursor, key));
    if (gguf.metadata_.contains(key)) return cursor.corrupt("metadata " + key + ": given twice");
    gguf.metadata_.emplace(std::move(key), std::move(value));
  }
  std::vector<TensorHeader> headers;
  for (std::uint64_t i = 0; i < num_tensors; ++i) headers.push_back(TRY(read_tensor_header(cursor, file)));

  const std::uint64_t alignment = TRY(read_alignment(cursor, gguf.find("general.alignment")));
  const std::uint64_t data_begin = (cursor.position() + alignment - 1) / alignment * alignment;
  const std::uint64_t data_size =
      gguf.file_.bytes().size() > data_begin ? gguf.file_.bytes().size() - data_begin : 0;
  std::map<std::uint64_t, const TensorHeader*> by_offset;
  for (TensorHeader& header : headers) {
    const std::string what = "tensor " + header.tensor.name;
    if (header.offset > data_size || header.bytes > data_size - header.offset) {
      return cursor.corrupt(what +
                            ": its data lies beyond the end of the file: it is truncated; download it again");
    }
    if (header.offset % alignment != 0) {
      return cursor.corrupt(what + ": its offset " + std::to_string(header.offset) + " is not aligned to " +
                            std::to_string(alignment));
    }
    header.tensor.data = gguf.file_.bytes().subspan(data_begin + header.offset, header.bytes);
    if (!by_offset.emplace(header.offset, &header).second) {
      return cursor.corrupt(what + ": its data overlaps another tensor's");
    }
  }
  std::uint64_t end = 0;
  for (const auto& [offset, header] : by_offset) {
    if (offset < end)
      return cursor.corrupt("tensor " + header->tensor.name + ": its data overlaps another tensor's");
    end = offset + header->bytes;
  }
  for (TensorHeader& header : headers) {
    std::string name = header.tensor.name;
    if (!gguf.tensors_.try_emplace(name, std::move(header.tensor)).second) {
      return cursor.corrupt("tensor " + name + ": given twice");
    }
  }
  return gguf;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Result<std::int64_t> GgufFile::integer(std::string_view key, std::int64_t min, std::int64_t max) const {
  const GgufValue* value = find(key);
  const auto* integer = value != nullptr ? std::get_if<std::int64_t>(value) : nullptr;
  if (integer == nullptr || *integer < min || *integer > max) {
    return wrong(key, "an integer between " + std::to_string(min) + " and " + std::to_string(max) +
                          (integer != nullptr ? ", is " + std::to_string(*integer) : ""));
  }
  return *integer;
}

Result<double> GgufFile::number(std::string_view key, double min, double max) const {
  const GgufValue* value = find(key);
  const auto* number = value != nullptr ? std::get_if<double>(value) : nullptr;
  if (number == nullptr || !(*number >= min) || !(*number <= max)) {
    return wrong(key, "a number between " + std::to_string(min) + " and " + std::to_string(max) +
                          (number != nullptr ? ", is " + std::to_string(*number) : ""));
  }
  return *number;
}

Result<std::string_view> GgufFile::string(std::string_view key) const {
  const GgufValue* value = find(key);
  const auto* text = value != nullptr ? std::get_if<std::string_view>(value) : nullptr;
  if (text == nullptr) return wrong(key, "a string");
  return *text;
}

Result<const std::vector<std::string_view>*> GgufFile::strings(std::string_view key) const {
  const GgufValue* value = find(key);
  const auto* array = value != nullptr ? std::get_if<GgufArray>(value) : nullptr;
  const auto* strings = array != nullptr ? std::get_if<std::vector<std::string_view>>(array) : nullptr;
  if (strings == nullptr) return wrong(key, "a list of strings");
  return strings;
}

bool GgufFile::boolean_or(std::string_view key, bool fallback) const {
  const GgufValue* value = find(key);
  const auto* flag = value != nullptr ? std::get_if<bool>(value) : nullptr;
  return flag != nullptr ? *flag : fallback;
}

Error GgufFile::wrong(std::string_view key, const std::string& requirement) const {
  return corrupt_data(path().string() + ": metadata " + std::string(key) + (has(key) ? "" : " is missing;") +
                      " must be " + requirement);
}

}  // namespace mlxd
