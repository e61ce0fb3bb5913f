// The GGUF container (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3,
// little-endian: metadata by key and tensors by name. Everything the file claims is checked before use; views
// live as long as the GgufFile. Immutable after opening, thread-safe for reading.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"

namespace mlxd {

/// Element types, by the numbers of the format.
enum class GgufType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kBF16 = 30,
};

/// The format's name of any type number, known to this program or not: "Q4_K"; "type 99" for unknown ones.
std::string gguf_type_name(std::uint32_t type);

/// How a type stores elements: so many in a block of so many bytes; none for numbers outside GgufType.
struct GgufBlock {
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
};
GgufBlock block_of(GgufType type);

struct GgufTensor {
  std::string name;
  GgufType type = GgufType::kF32;
  /// Outermost first, as everywhere in this program (the file has them the other way round).
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;

  std::int64_t num_elements() const;
};

/// Arrays hold one of these; strings are views into the file.
using GgufArray = std::variant<std::vector<std::int64_t>, std::vector<double>, std::vector<bool>,
                               std::vector<std::string_view>>;
using GgufValue = std::variant<std::int64_t, double, bool, std::string_view, GgufArray>;

class GgufFile {
 public:
  /// Errors: kNotFound, kIo, kCorruptData (naming file and thing), kUnsupported (version, byte order, tensor
  /// types outside GgufType, by name).
  static Result<GgufFile> open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const GgufValue* find(std::string_view key) const;
  const std::map<std::string, GgufTensor, std::less<>>& tensors() const { return tensors_; }
  const GgufTensor* find_tensor(std::string_view name) const;
  /// The tensor's data is not needed in memory any more.
  void drop_pages(const GgufTensor& tensor) const { file_.drop_pages(tensor.data); }

  // Typed access: kCorruptData naming file and key if absent, of another type or out of range.
  Result<std::int64_t> integer(std::string_view key, std::int64_t min, std::int64_t max) const;
  Result<double> number(std::string_view key, double min, double max) const;
  Result<std::string_view> string(std::string_view key) const;
  Result<const std::vector<std::string_view>*> strings(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }
  /// `fallback` where the key is absent or no boolean.
  bool boolean_or(std::string_view key, bool fallback) const;

 private:
  Error wrong(std::string_view key, const std::string& requirement) const;

  MappedFile file_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::map<std::string, GgufTensor, std::less<>> tensors_;
};

}  // namespace mlxd
