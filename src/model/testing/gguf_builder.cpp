#include "model/testing/gguf_builder.h"

#include <cstring>
#include <fstream>

#include "model/float_formats.h"

namespace mlxd::testing {
namespace {

constexpr std::uint64_t kAlignment = 32;

template <typename T>
void append(std::string& out, T value) {
  char raw[sizeof(T)];
  std::memcpy(raw, &value, sizeof(T));
  out.append(raw, sizeof(T));
}

void append_string(std::string& out, std::string_view text) {
  append<std::uint64_t>(out, text.size());
  out += text;
}

std::string with_type(std::uint32_t type) {
  std::string out;
  append(out, type);
  return out;
}

std::string array_head(std::uint32_t type, std::size_t count) {
  std::string out = with_type(9);
  append(out, type);
  append<std::uint64_t>(out, count);
  return out;
}

std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15ULL;
  std::uint64_t z = (state ^ (state >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31U);
}

std::uint16_t read_u16(const std::byte* bytes) {
  std::uint16_t value = 0;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

}  // namespace

void GgufBuilder::add_u32(std::string_view key, std::uint32_t value) {
  std::string bytes = with_type(4);
  append(bytes, value);
  add_raw(key, bytes);
}

void GgufBuilder::add_f32(std::string_view key, float value) {
  std::string bytes = with_type(6);
  append(bytes, value);
  add_raw(key, bytes);
}

void GgufBuilder::add_bool(std::string_view key, bool value) {
  std::string bytes = with_type(7);
  append(bytes, static_cast<std::uint8_t>(value ? 1 : 0));
  add_raw(key, bytes);
}

void GgufBuilder::add_string(std::string_view key, std::string_view value) {
  std::string bytes = with_type(8);
  append_string(bytes, value);
  add_raw(key, bytes);
}

void GgufBuilder::add_strings(std::string_view key, const std::vector<std::string>& values) {
  std::string bytes = array_head(8, values.size());
  for (const std::string& value : values) append_string(bytes, value);
  add_raw(key, bytes);
}

void GgufBuilder::add_i32s(std::string_view key, const std::vector<std::int32_t>& values) {
  std::string bytes = array_head(5, values.size());
  for (const std::int32_t value : values) append(bytes, value);
  add_raw(key, bytes);
}

void GgufBuilder::add_f32s(std::string_view key, const std::vector<float>& values) {
  std::string bytes = array_head(6, values.size());
  for (const float value : values) append(bytes, value);
  add_raw(key, bytes);
}

void GgufBuilder::add_raw(std::string_view key, std::string_view bytes) {
  entries_.push_back({std::string(key), std::string(bytes)});
}

void GgufBuilder::add_tensor(std::string name, std::uint32_t type, std::vector<std::int64_t> shape,
                             std::vector<std::byte> data) {
  tensors_.push_back({std::move(name), type, std::move(shape), std::move(data)});
}

void GgufBuilder::remove_tensor(std::string_view name) {
  std::erase_if(tensors_, [&](const Tensor& tensor) { return tensor.name == name; });
}

void GgufBuilder::remove(std::string_view key) {
  std::erase_if(entries_, [&](const Entry& entry) { return entry.key == key; });
}

std::string GgufBuilder::bytes() const {
  std::string out = "GGUF";
  append(out, version);
  append<std::uint64_t>(out, tensors_.size() + extra_tensors_claimed);
  append<std::uint64_t>(out, entries_.size() + extra_entries_claimed);
  for (const Entry& entry : entries_) {
    append_string(out, entry.key);
    out += entry.value;
  }
  std::string data;
  for (const Tensor& tensor : tensors_) {
    append_string(out, tensor.name);
    append<std::uint32_t>(out, static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) {
      append<std::uint64_t>(out, static_cast<std::uint64_t>(*size));
    }
    append(out, tensor.type);
    append<std::uint64_t>(out, data.size() + offset_shift);
    data.append(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
    data.resize((data.size() + kAlignment - 1) / kAlignment * kAlignment);
  }
  out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment);
  return out + data;
}

void GgufBuilder::write(const std::filesystem::path& file) const {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  const std::string content = bytes();
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
}

namespace {

// Where a block's half-precision scales lie.
std::vector<std::size_t> half_offsets(GgufType type) {
  switch (type) {
    case GgufType::kQ4_1:
    case GgufType::kQ5_1:
    case GgufType::kQ4_K:
    case GgufType::kQ5_K:
      return {0, 2};
    case GgufType::kQ2_K:
      return {80, 82};
    case GgufType::kQ3_K:
      return {108};
    case GgufType::kQ6_K:
      return {208};
    default:
      return {0};
  }
}

// Reads one block; element by element, as the layouts are described in ggml-common.h.
class Block {
 public:
  explicit Block(const std::byte* bytes) : bytes_(bytes) {}

  int byte(std::size_t at) const { return std::to_integer<int>(bytes_[at]); }
  int signed_byte(std::size_t at) const { return static_cast<std::int8_t>(byte(at)); }
  float half(std::size_t at) const { return half_to_float(read_u16(bytes_ + at)); }
  int bit(std::size_t at, std::size_t index) const { return byte(at + index / 8) >> (index % 8) & 1; }
  // Blocks of 32: elements i and i + 16 share a byte.
  int nibble(std::size_t at, std::size_t i) const { return byte(at + i % 16) >> (i < 16 ? 0 : 4) & 15; }

 private:
  const std::byte* bytes_;
};

constexpr int kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

float dequantize_element(GgufType type, const Block& b, std::size_t i) {
  const auto number = [](int value) { return static_cast<float>(value); };
  const std::size_t sub = i / 32;  // of the sub-blocks of a super-block
  const std::size_t in_quarter = i % 64;
  const std::size_t in_half = i % 128;
  switch (type) {
    case GgufType::kQ4_0:
      return b.half(0) * number(b.nibble(2, i) - 8);
    case GgufType::kQ4_1:
      return b.half(0) * number(b.nibble(4, i)) + b.half(2);
    case GgufType::kQ5_0:
      return b.half(0) * number(b.nibble(6, i) + 16 * b.bit(2, i) - 16);
    case GgufType::kQ5_1:
      return b.half(0) * number(b.nibble(8, i) + 16 * b.bit(4, i)) + b.half(2);
    case GgufType::kQ8_0:
      return b.half(0) * number(b.signed_byte(2 + i));
    case GgufType::kIQ4_NL:
      return b.half(0) * number(kIq4Values[b.nibble(2, i)]);
    case GgufType::kIQ4_XS: {
      const int low = b.byte(4 + sub / 2) >> (sub % 2 == 0 ? 0 : 4) & 15;
      const int high = (b.byte(2) + 256 * b.byte(3)) >> (2 * sub) & 3;
      const float scale = b.half(0) * number(low + 16 * high - 32);
      return scale * number(kIq4Values[b.nibble(8 + 16 * sub, i % 32)]);
    }
    case GgufType::kQ2_K: {
      const int packed = b.byte(i / 16);
      const int code = b.byte(16 + i / 128 * 32 + i % 32) >> (2 * (in_half / 32)) & 3;
      return b.half(80) * number(packed & 15) * number(code) - b.half(82) * number(packed >> 4);
    }
    case GgufType::kQ3_K: {
      const std::size_t group = i / 16;
      const int low = group < 8 ? b.byte(96 + group) & 15 : b.byte(96 + group - 8) >> 4;
      const int high = b.byte(104 + group % 4) >> (2 * (group / 4)) & 3;
      const int code = b.byte(32 + i / 128 * 32 + i % 32) >> (2 * (in_half / 32)) & 3;
      const int third = b.byte(i % 32) >> sub & 1;
      return b.half(108) * number(low + 16 * high - 32) * number(code - (third == 1 ? 0 : 4));
    }
    case GgufType::kQ4_K:
    case GgufType::kQ5_K: {
      int scale = 0;
      int minimum = 0;
      if (sub < 4) {
        scale = b.byte(4 + sub) % 64;
        minimum = b.byte(8 + sub) % 64;
      } else {
        scale = b.byte(8 + sub) % 16 + b.byte(sub) / 64 * 16;
        minimum = b.byte(8 + sub) / 16 + b.byte(4 + sub) / 64 * 16;
      }
      const std::size_t nibbles = type == GgufType::kQ4_K ? 16 : 48;
      const int packed = b.byte(nibbles + i / 64 * 32 + i % 32);
      int code = in_quarter < 32 ? packed % 16 : packed / 16;
      if (type == GgufType::kQ5_K) code += 16 * (b.byte(16 + i % 32) >> sub & 1);
      return b.half(0) * number(scale) * number(code) - b.half(2) * number(minimum);
    }
    case GgufType::kQ6_K: {
      const int packed = b.byte(i / 128 * 64 + in_quarter);
      const int low = in_half < 64 ? packed % 16 : packed / 16;
      const int high = b.byte(128 + i / 128 * 32 + i % 32) >> (2 * (in_half / 32)) & 3;
      return b.half(208) * number(b.signed_byte(192 + i / 16)) * number(low + 16 * high - 32);
    }
    case GgufType::kF32:
    case GgufType::kF16:
    case GgufType::kBF16:
      break;
  }
  return 0.0F;
}

}  // namespace

std::vector<std::byte> random_blocks(GgufType type, std::int64_t elements, std::uint64_t seed) {
  const GgufBlock block = block_of(type);
  std::vector<std::byte> data(static_cast<std::size_t>(elements / block.elements * block.bytes));
  std::uint64_t state = seed;
  for (std::byte& byte : data) byte = static_cast<std::byte>(next_random(state) & 0xFFU);
  const auto small = [&state] {
    return 0.1F * (static_cast<float>(next_random(state) >> 40U) * 0x1p-23F - 1.0F);  // ±0.1
  };
  const auto step = static_cast<std::size_t>(block.bytes);
  for (std::size_t at = 0; at < data.size(); at += step) {
    if (type == GgufType::kF32) {
      const float value = small();
      std::memcpy(data.data() + at, &value, sizeof(value));
    } else if (type == GgufType::kBF16) {
      const std::uint16_t value = float_to_bfloat16(small());
      std::memcpy(data.data() + at, &value, sizeof(value));
    } else {
      for (const std::size_t offset : half_offsets(type)) {
        const std::uint16_t value = float_to_half(small());
        std::memcpy(data.data() + at + offset, &value, sizeof(value));
      }
    }
  }
  return data;
}

std::vector<float> dequantize_blocks(GgufType type, const std::vector<std::byte>& data) {
  std::vector<float> values;
  const GgufBlock block = block_of(type);
  for (std::size_t at = 0; at < data.size(); at += static_cast<std::size_t>(block.bytes)) {
    const std::byte* bytes = data.data() + at;
    if (type == GgufType::kF32) {
      float value = 0;
      std::memcpy(&value, bytes, sizeof(value));
      values.push_back(value);
    } else if (type == GgufType::kF16) {
      values.push_back(half_to_float(read_u16(bytes)));
    } else if (type == GgufType::kBF16) {
      values.push_back(bfloat16_to_float(read_u16(bytes)));
    } else {
      for (std::size_t i = 0; i < static_cast<std::size_t>(block.elements); ++i) {
        values.push_back(dequantize_element(type, Block(bytes), i));
      }
    }
  }
  return values;
}

TinyGguf make_tiny_gguf(GgufType matrix_type, const TinyGgufOptions& options) {
  TinyGguf tiny;
  if (options.wide) {
    tiny.hidden = 256;
    tiny.head_dim = 64;
    tiny.intermediate = 512;
  }
  const std::string_view name = options.architecture;
  const bool is_gemma = name == "gemma3";
  const bool is_fused = name == "phi3";
  GgufBuilder& b = tiny.builder;
  const auto key = [&](const char* rest) { return std::string(name) + "." + rest; };
  b.add_string("general.architecture", name);
  b.add_u32(key("block_count"), TinyGguf::kLayers);
  b.add_u32(key("context_length"), 512);
  b.add_u32(key("embedding_length"), static_cast<std::uint32_t>(tiny.hidden));
  b.add_u32(key("feed_forward_length"), static_cast<std::uint32_t>(tiny.intermediate));
  b.add_u32(key("attention.head_count"), TinyGguf::kHeads);
  b.add_u32(key("attention.head_count_kv"), TinyGguf::kKvHeads);
  b.add_f32(key("attention.layer_norm_rms_epsilon"), 1e-5F);
  b.add_f32(key("rope.freq_base"), 500000.0F);
  if (name == "llama" || is_fused)
    b.add_u32(key("rope.dimension_count"), static_cast<std::uint32_t>(tiny.head_dim));
  if (is_gemma || name == "qwen3") {
    b.add_u32(key("attention.key_length"), static_cast<std::uint32_t>(tiny.head_dim));
    b.add_u32(key("attention.value_length"), static_cast<std::uint32_t>(tiny.head_dim));
  }
  if (is_gemma) b.add_u32(key("attention.sliding_window"), 32);
  b.add_string("tokenizer.ggml.model", "gpt2");
  b.add_string("tokenizer.ggml.pre", "gpt-2");
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  for (std::int64_t i = 0; i < TinyGguf::kVocabulary; ++i) {
    tokens.push_back(i < 3 ? "<|special_" + std::to_string(i) + "|>" : "token" + std::to_string(i));
    types.push_back(i < 3 ? 3 : 1);
  }
  tokens[3] = "a";
  tokens[4] = "b";
  tokens[5] = "ab";
  b.add_strings("tokenizer.ggml.tokens", tokens);
  b.add_i32s("tokenizer.ggml.token_type", types);
  b.add_strings("tokenizer.ggml.merges", {"a b"});
  b.add_u32("tokenizer.ggml.bos_token_id", 1);
  b.add_u32("tokenizer.ggml.eos_token_id", 2);
  b.add_string("tokenizer.chat_template", "{{ messages[0]['content'] }}");

  std::uint64_t seed = 1;
  const auto add_matrix = [&](const std::string& tensor, std::int64_t rows, std::int64_t columns,
                              bool has_bias = false) {
    b.add_tensor(tensor + ".weight", static_cast<std::uint32_t>(matrix_type), {rows, columns},
                 random_blocks(matrix_type, rows * columns, seed++));
    const bool is_layer = tensor.starts_with("blk.");
    if (has_bias || (options.biases && is_layer))
      b.add_tensor(tensor + ".bias", 0, {rows}, random_blocks(GgufType::kF32, rows, seed++));
  };
  const auto add_norm = [&](const std::string& tensor, std::int64_t size) {
    b.add_tensor(tensor + ".weight", 0, {size}, random_blocks(GgufType::kF32, size, seed++));
  };
  const std::int64_t q_size = TinyGguf::kHeads * tiny.head_dim;
  const std::int64_t kv_size = TinyGguf::kKvHeads * tiny.head_dim;
  add_matrix("token_embd", TinyGguf::kVocabulary, tiny.hidden);
  for (std::int64_t i = 0; i < TinyGguf::kLayers; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    add_norm(block + "attn_norm", tiny.hidden);
    if (is_fused) {
      add_matrix(block + "attn_qkv", q_size + 2 * kv_size, tiny.hidden);
    } else {
      const bool has_bias = name == "qwen2";
      add_matrix(block + "attn_q", q_size, tiny.hidden, has_bias);
      add_matrix(block + "attn_k", kv_size, tiny.hidden, has_bias);
      add_matrix(block + "attn_v", kv_size, tiny.hidden, has_bias);
    }
    if (is_gemma || name == "qwen3") {
      add_norm(block + "attn_q_norm", tiny.head_dim);
      add_norm(block + "attn_k_norm", tiny.head_dim);
    }
    add_matrix(block + "attn_output", tiny.hidden, q_size);
    if (is_gemma) add_norm(block + "post_attention_norm", tiny.hidden);
    add_norm(block + "ffn_norm", tiny.hidden);
    if (!is_fused) add_matrix(block + "ffn_gate", tiny.intermediate, tiny.hidden);
    add_matrix(block + "ffn_up", is_fused ? 2 * tiny.intermediate : tiny.intermediate, tiny.hidden);
    add_matrix(block + "ffn_down", tiny.hidden, tiny.intermediate);
    if (is_gemma) add_norm(block + "post_ffw_norm", tiny.hidden);
  }
  add_norm("output_norm", tiny.hidden);
  if (!options.tied) add_matrix("output", TinyGguf::kVocabulary, tiny.hidden);
  return tiny;
}

}  // namespace mlxd::testing
