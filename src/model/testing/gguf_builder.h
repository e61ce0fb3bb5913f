// Writes tiny GGUF files for tests, right or deliberately wrong. Not part of the product.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"

namespace mlxd::testing {

class GgufBuilder {
 public:
  void add_u32(std::string_view key, std::uint32_t value);
  void add_f32(std::string_view key, float value);
  void add_bool(std::string_view key, bool value);
  void add_string(std::string_view key, std::string_view value);
  void add_strings(std::string_view key, const std::vector<std::string>& values);
  void add_i32s(std::string_view key, const std::vector<std::int32_t>& values);
  void add_f32s(std::string_view key, const std::vector<float>& values);
  /// Metadata as raw bytes after the key: value type and value.
  void add_raw(std::string_view key, std::string_view bytes);
  /// `shape` outermost first. The offset is the next aligned one.
  void add_tensor(std::string name, std::uint32_t type, std::vector<std::int64_t> shape,
                  std::vector<std::byte> data);
  void remove_tensor(std::string_view name);
  /// Drops the entry of this key, if any, so that it can be given anew.
  void remove(std::string_view key);

  /// Overrides for wrong files.
  std::uint32_t version = 3;
  std::uint64_t extra_tensors_claimed = 0;
  std::uint64_t extra_entries_claimed = 0;
  std::uint64_t offset_shift = 0;

  std::string bytes() const;
  void write(const std::filesystem::path& file) const;

 private:
  struct Entry {
    std::string key;
    std::string value;
  };
  struct Tensor {
    std::string name;
    std::uint32_t type = 0;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> data;
  };
  std::vector<Entry> entries_;
  std::vector<Tensor> tensors_;
};

/// Random blocks of a type for `elements` elements, with finite scales of a plausible size.
std::vector<std::byte> random_blocks(GgufType type, std::int64_t elements, std::uint64_t seed);

/// The values of a tensor's blocks, computed as the format's documentation says, in single precision.
std::vector<float> dequantize_blocks(GgufType type, const std::vector<std::byte>& data);

/// A complete file with byte-level BPE tokenizer: 2 layers, 4 heads, 2 kv heads, as llama.cpp's conversion
/// lays out the architecture.
struct TinyGgufOptions {
  std::string_view architecture = "llama";  // or qwen2, qwen3, gemma3, phi3
  bool tied = true;
  bool biases = false;  // llama only
  /// Rows of 256 and 512 elements, which k-quants need, instead of 64 and 96.
  bool wide = false;
};
struct TinyGguf {
  GgufBuilder builder;
  std::int64_t hidden = 64;
  std::int64_t head_dim = 16;
  std::int64_t intermediate = 96;
  static constexpr std::int64_t kLayers = 2;
  static constexpr std::int64_t kHeads = 4;
  static constexpr std::int64_t kKvHeads = 2;
  static constexpr std::int64_t kVocabulary = 260;
};
TinyGguf make_tiny_gguf(GgufType matrix_type, const TinyGgufOptions& options = {});

}  // namespace mlxd::testing
