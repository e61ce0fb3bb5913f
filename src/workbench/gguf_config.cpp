#include "workbench/gguf_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numbers>

#include "model/architectures/architecture.h"
#include "model/json.h"

namespace mlxd {
namespace {

namespace json = boost::json;

// Metadata holds single precision: the shortest decimal that reads back the same is what its author wrote.
double shortest_decimal(double single) {
  std::array<char, 32> text{};
  const auto written = std::to_chars(text.data(), text.data() + text.size(), static_cast<float>(single));
  const auto parsed =
      parse_json({text.data(), static_cast<std::size_t>(written.ptr - text.data())}, "a number");
  json::error_code error;
  const auto value = parsed.ok() ? parsed->to_number<double>(error) : single;
  return error || static_cast<float>(value) != static_cast<float>(single) ? single : value;
}

json::value plain_number(double value) {
  if (std::floor(value) == value && std::abs(value) < 0x1p53) return static_cast<std::int64_t>(value);
  return value;
}

Result<std::int64_t> integer_or(const GgufFile& file, std::string_view key, std::int64_t fallback,
                                std::int64_t min, std::int64_t max) {
  if (!file.has(key)) return fallback;
  return file.integer(key, min, max);
}

Error not_supported(const GgufFile& file, const std::string& thing) {
  return unsupported(file.path().string() + ": " + thing + " is not supported by import");
}

// Llama 3.x files carry, instead of the configuration, the factor by which each frequency is divided. The
// configuration's rule (see model/rope.h) has known parameters; those that give these factors are taken.
Result<json::object> recover_llama3_scaling(const GgufFile& file, const GgufTensor& factors, double theta,
                                            std::int64_t head_dim) {
  const auto count = static_cast<std::size_t>(head_dim / 2);
  if (factors.type != GgufType::kF32 || factors.data.size() != count * sizeof(float)) {
    return corrupt_data(file.path().string() + ": tensor rope_freqs.weight: must be F32 [" +
                        std::to_string(count) + "]");
  }
  std::vector<float> given(count);
  std::memcpy(given.data(), factors.data.data(), factors.data.size());
  const double factor = shortest_decimal(*std::max_element(given.begin(), given.end()));
  constexpr double kLow = 1.0;
  constexpr double kHigh = 4.0;
  constexpr double kOriginal = 8192.0;
  for (std::size_t i = 0; i < count; ++i) {
    const double wavelength = 2.0 * std::numbers::pi *
                              std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    double expected = 1.0;
    if (wavelength > kOriginal / kLow) {
      expected = factor;
    } else if (wavelength > kOriginal / kHigh) {
      const double smooth = (kOriginal / wavelength - kLow) / (kHigh - kLow);
      expected = 1.0 / ((1.0 - smooth) / factor + smooth);
    }
    if (!(std::abs(given[i] - expected) <= 1e-4 * expected)) {
      return not_supported(file, "tensor rope_freqs.weight: a frequency scaling other than Llama 3's");
    }
  }
  return json::object{{"rope_type", "llama3"},
                      {"factor", plain_number(factor)},
                      {"low_freq_factor", kLow},
                      {"high_freq_factor", kHigh},
                      {"original_max_position_embeddings", static_cast<std::int64_t>(kOriginal)}};
}

Result<json::value> read_rope_scaling(const GgufFile& file, double theta, std::int64_t head_dim) {
  if (const GgufTensor* factors = file.find_tensor("rope_freqs.weight")) {
    return json::value(TRY(recover_llama3_scaling(file, *factors, theta, head_dim)));
  }
  std::string_view type = "none";
  if (file.has("llama.rope.scaling.type")) type = TRY(file.string("llama.rope.scaling.type"));
  std::string_view key = "llama.rope.scaling.factor";
  if (file.has("llama.rope.scale_linear")) {
    type = "linear";
    key = "llama.rope.scale_linear";
  }
  if (type == "none" || type.empty()) return json::value(nullptr);
  if (type != "linear") return not_supported(file, "rope scaling of type " + std::string(type));
  const double factor = shortest_decimal(TRY(file.number(key, 1e-3, 1e6)));
  return json::value(json::object{{"rope_type", "linear"}, {"factor", plain_number(factor)}});
}

Result<void> refuse_other_features(const GgufFile& file) {
  const std::string_view architecture = TRY(file.string("general.architecture"));
  if (architecture != "llama") {
    return not_supported(file, "architecture " + std::string(architecture.substr(0, 64)) + " (only llama)");
  }
  if (TRY(integer_or(file, "llama.expert_count", 0, 0, INT32_MAX)) > 0) {
    return not_supported(file, "a mixture of experts (llama.expert_count)");
  }
  if (TRY(integer_or(file, "llama.attention.sliding_window", 0, 0, INT32_MAX)) > 0) {
    return not_supported(file, "a sliding window (llama.attention.sliding_window)");
  }
  return {};
}

}  // namespace

Result<GgufModel> read_gguf_model(const GgufFile& file) {
  TRY(refuse_other_features(file));
  GgufModel model;
  model.hidden_size = TRY(file.integer("llama.embedding_length", 1, kMaxWidth));
  model.num_layers = TRY(file.integer("llama.block_count", 1, kMaxLayers));
  model.intermediate_size = TRY(file.integer("llama.feed_forward_length", 1, kMaxWidth));
  model.num_heads = TRY(file.integer("llama.attention.head_count", 1, kMaxHeads));
  model.num_kv_heads = TRY(integer_or(file, "llama.attention.head_count_kv", model.num_heads, 1, kMaxHeads));
  model.head_dim =
      TRY(integer_or(file, "llama.attention.key_length",
                     std::max<std::int64_t>(1, model.hidden_size / model.num_heads), 1, kMaxHeadDim));
  if (TRY(integer_or(file, "llama.attention.value_length", model.head_dim, 1, kMaxHeadDim)) !=
          model.head_dim ||
      TRY(integer_or(file, "llama.rope.dimension_count", model.head_dim, 1, kMaxHeadDim)) != model.head_dim) {
    return not_supported(file, "a head whose keys, values and rotation differ in size");
  }
  if (model.head_dim % 2 != 0) {
    return corrupt_data(file.path().string() + ": its heads have " + std::to_string(model.head_dim) +
                        " elements, must be an even number");
  }
  const std::int64_t context = TRY(file.integer("llama.context_length", 1, INT32_MAX));
  const double eps = shortest_decimal(TRY(file.number("llama.attention.layer_norm_rms_epsilon", 1e-12, 0.1)));
  double theta = 10000.0;
  if (file.has("llama.rope.freq_base"))
    theta = shortest_decimal(TRY(file.number("llama.rope.freq_base", 1e-3, 1e12)));

  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return corrupt_data(file.path().string() + ": tensor token_embd.weight is missing");
  }
  model.vocab_size = embedding->shape[0];
  model.tied_embeddings = file.find_tensor("output.weight") == nullptr;
  model.attention_bias = file.find_tensor("blk.0.attn_q.bias") != nullptr;
  model.mlp_bias = file.find_tensor("blk.0.ffn_gate.bias") != nullptr;

  json::object& config = model.config;
  config["architectures"] = json::array{"LlamaForCausalLM"};
  config["model_type"] = "llama";
  config["hidden_size"] = model.hidden_size;
  config["intermediate_size"] = model.intermediate_size;
  config["num_hidden_layers"] = model.num_layers;
  config["num_attention_heads"] = model.num_heads;
  config["num_key_value_heads"] = model.num_kv_heads;
  config["head_dim"] = model.head_dim;
  config["hidden_act"] = "silu";
  config["rms_norm_eps"] = eps;
  config["rope_theta"] = plain_number(theta);
  config["rope_scaling"] = TRY(read_rope_scaling(file, theta, model.head_dim));
  config["max_position_embeddings"] = context;
  config["vocab_size"] = model.vocab_size;
  config["tie_word_embeddings"] = model.tied_embeddings;
  config["attention_bias"] = model.attention_bias;
  config["mlp_bias"] = model.mlp_bias;
  config["torch_dtype"] = "float16";
  return model;
}

Result<GgufSpecialTokens> read_special_tokens(const GgufFile& file) {
  const auto& names = *TRY(file.strings("tokenizer.ggml.tokens"));
  const auto last = static_cast<std::int64_t>(names.size()) - 1;
  GgufSpecialTokens tokens;
  const auto read = [&](const char* key, std::optional<std::int64_t>& token) -> Result<void> {
    if (file.has(key)) token = TRY(file.integer(key, 0, last));
    return {};
  };
  TRY(read("tokenizer.ggml.bos_token_id", tokens.bos));
  TRY(read("tokenizer.ggml.eos_token_id", tokens.eos));
  TRY(read("tokenizer.ggml.unknown_token_id", tokens.unknown));
  TRY(read("tokenizer.ggml.padding_token_id", tokens.padding));
  std::optional<std::int64_t> end_of_turn;
  std::optional<std::int64_t> end_of_message;
  TRY(read("tokenizer.ggml.eot_token_id", end_of_turn));
  TRY(read("tokenizer.ggml.eom_token_id", end_of_message));
  const auto add = [&tokens](std::optional<std::int64_t> token) {
    if (token && std::find(tokens.ends.begin(), tokens.ends.end(), *token) == tokens.ends.end()) {
      tokens.ends.push_back(*token);
    }
  };
  add(tokens.eos);
  add(end_of_turn);
  add(end_of_message);
  // Files often name one end only, though the model was trained with several; llama.cpp, too, adds those it
  // knows.
  constexpr std::array<std::string_view, 7> kEnds = {"<|eot_id|>",    "<|im_end|>",    "<|end|>",
                                                     "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
                                                     "<|eom_id|>"};
  for (const std::string_view end : kEnds) {
    const auto found = std::find(names.begin(), names.end(), end);
    if (found != names.end()) add(found - names.begin());
  }
  return tokens;
}

json::object make_generation_config(const GgufSpecialTokens& tokens) {
  json::object config;
  if (tokens.bos) config["bos_token_id"] = *tokens.bos;
  if (tokens.ends.size() == 1) {
    config["eos_token_id"] = tokens.ends.front();
  } else if (!tokens.ends.empty()) {
    config["eos_token_id"] = json::array(tokens.ends.begin(), tokens.ends.end());
  }
  if (tokens.padding) config["pad_token_id"] = *tokens.padding;
  return config;
}

}  // namespace mlxd
