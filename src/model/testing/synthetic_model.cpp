#include "model/testing/synthetic_model.h"

#include <stdlib.h>

#include <bit>
#include <boost/json.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "model/float_formats.h"
#include "model/json.h"
#include "model/safetensors_writer.h"

namespace mlxd::testing {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

// SplitMix64: the same numbers on every platform, unlike the standard library's distributions.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 1) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  double between(double low, double high) {
    return low + (high - low) * static_cast<double>(next() >> 11U) * 0x1p-53;
  }

 private:
  std::uint64_t state_;
};

using Bytes = std::vector<std::byte>;

void append_float(Bytes& bytes, DType dtype, double value) {
  const auto single = static_cast<float>(value);
  const std::uint32_t word = dtype == DType::kF32   ? std::bit_cast<std::uint32_t>(single)
                             : dtype == DType::kF16 ? float_to_half(single)
                                                    : float_to_bfloat16(single);
  for (std::size_t i = 0; i < size_of(dtype); ++i) bytes.push_back(static_cast<std::byte>(word >> (8 * i)));
}

struct NamedTensor {
  TensorLayout layout;
  Bytes data;
};

class ModelWriter {
 public:
  explicit ModelWriter(const SyntheticModelOptions& options) : options_(options), random_(options.seed) {}

  void add_vector(const std::string& name, std::int64_t size, double low, double high) {
    NamedTensor tensor{{name, options_.dtype, {size}}, {}};
    for (std::int64_t i = 0; i < size; ++i)
      append_float(tensor.data, options_.dtype, random_.between(low, high));
    tensors_.push_back(std::move(tensor));
  }

  // Values spread evenly over ±range.
  void add_linear(const std::string& name, std::int64_t rows, std::int64_t columns, std::int32_t bits,
                  double range, bool bias) {
    if (bits == 0) {
      NamedTensor tensor{{name + ".weight", options_.dtype, {rows, columns}}, {}};
      for (std::int64_t i = 0; i < rows * columns; ++i) {
        append_float(tensor.data, options_.dtype, random_.between(-range, range));
      }
      tensors_.push_back(std::move(tensor));
    } else if (options_.mode == QuantizationMode::kAffine) {
      add_quantized(name, rows, columns, bits, range);
    } else {
      add_float_mode(name, rows, columns, range);
    }
    if (bias) add_vector(name + ".bias", rows, -0.2, 0.2);
  }

  Result<void> write(const fs::path& file) {
    std::vector<TensorLayout> layouts;
    for (const NamedTensor& tensor : tensors_) layouts.push_back(tensor.layout);
    SafetensorsWriter writer = TRY(SafetensorsWriter::create(file, std::move(layouts)));
    for (const NamedTensor& tensor : tensors_) TRY(writer.write(tensor.layout.name, tensor.data));
    return writer.finish();
  }

 private:
  void add_quantized(const std::string& name, std::int64_t rows, std::int64_t columns, std::int32_t bits,
                     double range) {
    const std::int64_t groups = columns / options_.group_size;
    NamedTensor weight{{name + ".weight", DType::kU32, {rows, columns * bits / 32}}, {}};
    NamedTensor scales{{name + ".scales", options_.dtype, {rows, groups}}, {}};
    NamedTensor biases{{name + ".biases", options_.dtype, {rows, groups}}, {}};
    // Rows are whole words, so a row's codes are one little-endian bit string and random words are random
    // codes.
    for (std::int64_t i = 0; i < rows * columns * bits / 32; ++i) {
      const auto word = static_cast<std::uint32_t>(random_.next());
      for (unsigned shift = 0; shift < 32; shift += 8)
        weight.data.push_back(static_cast<std::byte>(word >> shift));
    }
    const double steps = static_cast<double>((1 << bits) - 1);
    for (std::int64_t i = 0; i < rows * groups; ++i) {
      const double scale = 2.0 * range / steps * random_.between(0.5, 1.5);
      append_float(scales.data, options_.dtype, scale);
      append_float(biases.data, options_.dtype, -scale * steps * random_.between(0.45, 0.55));
    }
    tensors_.push_back(std::move(weight));
    tensors_.push_back(std::move(scales));
    tensors_.push_back(std::move(biases));
  }

  // Numbers of all sizes, scaled to ±range or so.
  void add_float_mode(const std::string& name, std::int64_t rows, std::int64_t columns, double range) {
    const std::int64_t groups = columns / options_.group_size;
    NamedTensor weight{{name + ".weight", DType::kU32, {rows, columns * options_.bits / 32}}, {}};
    NamedTensor scales{{name + ".scales", DType::kU8, {rows, groups}}, {}};
    const bool mxfp8 = options_.mode == QuantizationMode::kMxfp8;
    for (std::int64_t i = 0; i < rows * columns * options_.bits / 8; ++i) {
      auto byte = static_cast<std::uint8_t>(random_.next() >> 56U);
      if (mxfp8 && (byte & 0x7FU) == 0x7FU) byte ^= 1U;  // NaN
      weight.data.push_back(static_cast<std::byte>(byte));
    }
    const double size = range / (mxfp8 ? 448.0 : 6.0);
    for (std::int64_t i = 0; i < rows * groups; ++i) {
      const double scale = size * random_.between(0.7, 1.4);
      const std::uint8_t bits = options_.mode == QuantizationMode::kNvfp4
                                    ? nearest_e4m3(scale)
                                    : static_cast<std::uint8_t>(127 + std::lround(std::log2(scale)));
      scales.data.push_back(static_cast<std::byte>(bits));
    }
    tensors_.push_back(std::move(weight));
    tensors_.push_back(std::move(scales));
  }

  static std::uint8_t nearest_e4m3(double value) {
    std::uint8_t nearest = 1;
    for (std::uint8_t bits = 1; bits < 0x7F; ++bits) {
      if (std::abs(e4m3_to_float(bits) - value) < std::abs(e4m3_to_float(nearest) - value)) nearest = bits;
    }
    return nearest;
  }

  const SyntheticModelOptions& options_;
  Random random_;
  std::vector<NamedTensor> tensors_;
};

Result<void> write_json(const fs::path& file, const json::value& value) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << to_pretty_json(value);
  out.close();
  if (!out) return Error(ErrorKind::kIo, "cannot write " + file.string());
  return {};
}

json::object make_config(const SyntheticModelOptions& options) {
  json::object config;
  config["architectures"] =
      json::array{options.model_type == "mistral" ? "MistralForCausalLM" : "LlamaForCausalLM"};
  config["model_type"] = options.model_type;
  if (options.sliding_window > 0) config["sliding_window"] = options.sliding_window;
  if (!options.layer_types.empty()) {
    json::array types;
    for (const std::string& type : options.layer_types) types.emplace_back(type);
    config["layer_types"] = std::move(types);
  }
  config["hidden_size"] = options.hidden_size;
  config["num_hidden_layers"] = options.num_layers;
  config["num_attention_heads"] = options.num_heads;
  config["num_key_value_heads"] = options.num_kv_heads;
  config["head_dim"] = options.head_dim;
  config["intermediate_size"] = options.intermediate_size;
  config["vocab_size"] = options.vocab_size;
  config["max_position_embeddings"] = options.context_tokens;
  config["rms_norm_eps"] = 1e-5;
  config["rope_theta"] = options.rope_theta;
  config["rope_traditional"] = options.rope_traditional;
  config["tie_word_embeddings"] = options.tied_embeddings;
  config["attention_bias"] = options.attention_bias;
  config["mlp_bias"] = options.mlp_bias;
  config["hidden_act"] = "silu";
  config["bos_token_id"] = kSyntheticTurnStartToken;
  config["eos_token_id"] = kSyntheticEosToken;
  const std::int32_t embedding_bits = options.embedding_bits < 0 ? options.bits : options.embedding_bits;
  if (options.bits != 0) {
    json::object quantization{{"group_size", options.group_size}, {"bits", options.bits}};
    if (options.mode != QuantizationMode::kAffine) quantization["mode"] = to_string(options.mode);
    if (embedding_bits != options.bits) {
      const json::value entry =
          embedding_bits == 0 ? json::value(false)
                              : json::value{{"group_size", options.group_size}, {"bits", embedding_bits}};
      quantization["model.embed_tokens"] = entry;
      if (!options.tied_embeddings) quantization["lm_head"] = entry;
    }
    config["quantization"] = std::move(quantization);
  }
  return config;
}

// GPT-2's printable stand-ins for bytes (the `bytes_to_unicode` of byte-level BPE), as UTF-8.
std::string byte_character(unsigned byte) {
  unsigned next = 256;
  unsigned code = byte;
  const auto printable = [](unsigned b) { return (b >= 33 && b <= 126) || (b >= 161 && b != 173); };
  if (!printable(byte)) {
    for (unsigned b = 0; b < byte; ++b) next += printable(b) ? 0 : 1;
    code = next;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0U | (code >> 6U)), static_cast<char>(0x80U | (code & 0x3FU))};
}

json::object make_tokenizer() {
  json::object vocabulary;
  for (unsigned byte = 0; byte < 256; ++byte) vocabulary[byte_character(byte)] = byte;
  json::array added;
  std::int32_t id = 256;
  for (const char* name : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    vocabulary[name] = id;
    added.push_back(json::object{{"id", id++},
                                 {"content", name},
                                 {"single_word", false},
                                 {"lstrip", false},
                                 {"rstrip", false},
                                 {"normalized", false},
                                 {"special", true}});
  }
  const json::object byte_level{
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(added)},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model", json::object{{"type", "BPE"},
                                 {"dropout", nullptr},
                                 {"unk_token", nullptr},
                                 {"continuing_subword_prefix", nullptr},
                                 {"end_of_word_suffix", nullptr},
                                 {"fuse_unk", false},
                                 {"byte_fallback", false},
                                 {"ignore_merges", false},
                                 {"vocab", std::move(vocabulary)},
                                 {"merges", json::array()}}}};
}

constexpr const char* kChatTemplate =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + "
    "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

}  // namespace

Result<void> write_synthetic_model(const fs::path& folder, const SyntheticModelOptions& options) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return Error(ErrorKind::kIo, "cannot create " + folder.string() + ": " + error.message());

  ModelWriter writer(options);
  const std::int64_t hidden = options.hidden_size;
  const std::int64_t q_size = std::int64_t{options.num_heads} * options.head_dim;
  const std::int64_t kv_size = std::int64_t{options.num_kv_heads} * options.head_dim;
  const std::int64_t intermediate = options.intermediate_size;
  const std::int32_t embedding_bits = options.embedding_bits < 0 ? options.bits : options.embedding_bits;
  // Ranges that keep activations near one whatever the width, so that no layer vanishes in the result.
  const auto range = [](std::int64_t inputs) { return 1.7 / std::sqrt(static_cast<double>(inputs)); };
  writer.add_linear("model.embed_tokens", options.vocab_size, hidden, embedding_bits, 0.5, false);
  for (std::int32_t i = 0; i < options.num_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    writer.add_vector(layer + "input_layernorm.weight", hidden, 0.7, 1.3);
    writer.add_linear(layer + "self_attn.q_proj", q_size, hidden, options.bits, range(hidden),
                      options.attention_bias);
    writer.add_linear(layer + "self_attn.k_proj", kv_size, hidden, options.bits, range(hidden),
                      options.attention_bias);
    writer.add_linear(layer + "self_attn.v_proj", kv_size, hidden, options.bits, range(hidden),
                      options.attention_bias);
    writer.add_linear(layer + "self_attn.o_proj", hidden, q_size, options.bits, range(q_size),
                      options.attention_bias);
    writer.add_vector(layer + "post_attention_layernorm.weight", hidden, 0.7, 1.3);
    writer.add_linear(layer + "mlp.gate_proj", intermediate, hidden, options.bits, range(hidden),
                      options.mlp_bias);
    writer.add_linear(layer + "mlp.up_proj", intermediate, hidden, options.bits, range(hidden),
                      options.mlp_bias);
    writer.add_linear(layer + "mlp.down_proj", hidden, intermediate, options.bits, range(intermediate),
                      options.mlp_bias);
  }
  writer.add_vector("model.norm.weight", hidden, 0.7, 1.3);
  if (!options.tied_embeddings) {
    writer.add_linear("lm_head", options.vocab_size, hidden, embedding_bits, 3.0 * range(hidden), false);
  }
  TRY(writer.write(folder / "model.safetensors"));
  TRY(write_json(folder / "config.json", make_config(options)));
  TRY(write_json(folder / "generation_config.json",
                 json::object{{"eos_token_id", json::array{kSyntheticEosToken, kSyntheticTurnEndToken}}}));
  TRY(write_json(folder / "tokenizer.json", make_tokenizer()));
  return write_json(folder / "tokenizer_config.json",
                    json::object{{"tokenizer_class", "PreTrainedTokenizerFast"},
                                 {"bos_token", "<|im_start|>"},
                                 {"eos_token", "<|endoftext|>"},
                                 {"clean_up_tokenization_spaces", false},
                                 {"chat_template", kChatTemplate}});
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "mlxd-test-XXXXXX").string();
  CHECK(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace mlxd::testing
