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

std::vector<std::byte> random_blocks(GgufType type, std::int64_t elements, std::uint64_t seed) {
  const GgufBlock block = block_of(type);
  std::vector<std::byte> data(static_cast<std::size_t>(elements / block.elements * block.bytes));
  std::uint64_t state = seed;
  for (std::byte& byte : data) byte = static_cast<std::byte>(next_random(state) & 0xFFU);
  const auto small = [&state] {
    return 0.1F * (static_cast<float>(next_random(state) >> 40U) * 0x1p-23F - 1.0F);  // ±0.1
  };
  const auto set_half = [&](std::size_t at) {
    const std::uint16_t value = float_to_half(small());
    std::memcpy(data.data() + at, &value, sizeof(value));
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
      set_half(at);
      if (type == GgufType::kQ4_1 || type == GgufType::kQ5_1) set_half(at + 2);
    }
  }
  return data;
}

std::vector<float> dequantize_blocks(GgufType type, const std::vector<std::byte>& data) {
  std::vector<float> values;
  const auto step = static_cast<std::size_t>(block_of(type).bytes);
  for (std::size_t at = 0; at < data.size(); at += step) {
    const std::byte* block = data.data() + at;
    if (type == GgufType::kF32) {
      float value = 0;
      std::memcpy(&value, block, sizeof(value));
      values.push_back(value);
      continue;
    }
    if (type == GgufType::kBF16) {
      values.push_back(bfloat16_to_float(read_u16(block)));
      continue;
    }
    const float d = half_to_float(read_u16(block));
    if (type == GgufType::kF16) {
      values.push_back(d);
      continue;
    }
    for (std::size_t i = 0; i < 32; ++i) {
      const auto nibble = [&](std::size_t codes) {
        const auto byte = std::to_integer<unsigned>(block[codes + i % 16]);
        return static_cast<int>(i < 16 ? byte & 0xFU : byte >> 4U);
      };
      const auto fifth = [&](std::size_t high) {
        return static_cast<int>((std::to_integer<unsigned>(block[high + i / 8]) >> (i % 8)) & 1U) * 16;
      };
      switch (type) {
        case GgufType::kQ4_0:
          values.push_back(d * static_cast<float>(nibble(2) - 8));
          break;
        case GgufType::kQ4_1:
          values.push_back(d * static_cast<float>(nibble(4)) + half_to_float(read_u16(block + 2)));
          break;
        case GgufType::kQ5_0:
          values.push_back(d * static_cast<float>(nibble(6) + fifth(2) - 16));
          break;
        case GgufType::kQ5_1:
          values.push_back(d * static_cast<float>(nibble(8) + fifth(4)) + half_to_float(read_u16(block + 2)));
          break;
        default: {
          const auto code = static_cast<std::int8_t>(std::to_integer<unsigned>(block[2 + i]));
          values.push_back(d * static_cast<float>(code));
          break;
        }
      }
    }
  }
  return values;
}

TinyGguf make_tiny_gguf(GgufType matrix_type, bool tied, bool biases) {
  TinyGguf tiny;
  GgufBuilder& b = tiny.builder;
  b.add_string("general.architecture", "llama");
  b.add_u32("llama.block_count", TinyGguf::kLayers);
  b.add_u32("llama.context_length", 512);
  b.add_u32("llama.embedding_length", TinyGguf::kHidden);
  b.add_u32("llama.feed_forward_length", TinyGguf::kIntermediate);
  b.add_u32("llama.attention.head_count", TinyGguf::kHeads);
  b.add_u32("llama.attention.head_count_kv", TinyGguf::kKvHeads);
  b.add_f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  b.add_f32("llama.rope.freq_base", 500000.0F);
  b.add_u32("llama.rope.dimension_count", TinyGguf::kHeadDim);
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
  const auto add_matrix = [&](const std::string& name, std::int64_t rows, std::int64_t columns) {
    b.add_tensor(name + ".weight", static_cast<std::uint32_t>(matrix_type), {rows, columns},
                 random_blocks(matrix_type, rows * columns, seed++));
    const bool is_layer = name.starts_with("blk.");
    if (biases && is_layer)
      b.add_tensor(name + ".bias", 0, {rows}, random_blocks(GgufType::kF32, rows, seed++));
  };
  const auto add_norm = [&](const std::string& name) {
    b.add_tensor(name, 0, {TinyGguf::kHidden}, random_blocks(GgufType::kF32, TinyGguf::kHidden, seed++));
  };
  add_matrix("token_embd", TinyGguf::kVocabulary, TinyGguf::kHidden);
  for (std::int64_t i = 0; i < TinyGguf::kLayers; ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    add_norm(block + "attn_norm.weight");
    add_matrix(block + "attn_q", TinyGguf::kHeads * TinyGguf::kHeadDim, TinyGguf::kHidden);
    add_matrix(block + "attn_k", TinyGguf::kKvHeads * TinyGguf::kHeadDim, TinyGguf::kHidden);
    add_matrix(block + "attn_v", TinyGguf::kKvHeads * TinyGguf::kHeadDim, TinyGguf::kHidden);
    add_matrix(block + "attn_output", TinyGguf::kHidden, TinyGguf::kHeads * TinyGguf::kHeadDim);
    add_norm(block + "ffn_norm.weight");
    add_matrix(block + "ffn_gate", TinyGguf::kIntermediate, TinyGguf::kHidden);
    add_matrix(block + "ffn_up", TinyGguf::kIntermediate, TinyGguf::kHidden);
    add_matrix(block + "ffn_down", TinyGguf::kHidden, TinyGguf::kIntermediate);
  }
  add_norm("output_norm.weight");
  if (!tied) add_matrix("output", TinyGguf::kVocabulary, TinyGguf::kHidden);
  return tiny;
}

}  // namespace mlxd::testing
