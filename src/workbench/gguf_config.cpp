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

// The metadata of one architecture, whose name begins every key.
class Metadata {
 public:
  Metadata(const GgufFile& file, std::string_view architecture)
      : file_(file), prefix_(std::string(architecture) + ".") {}

  const GgufFile& file() const { return file_; }
  std::string key(std::string_view name) const { return prefix_ + std::string(name); }
  bool has(std::string_view name) const { return file_.has(key(name)); }
  Result<std::int64_t> integer(std::string_view name, std::int64_t min, std::int64_t max) const {
    return file_.integer(key(name), min, max);
  }
  Result<std::int64_t> integer_or(std::string_view name, std::int64_t fallback, std::int64_t min,
                                  std::int64_t max) const {
    if (!has(name)) return fallback;
    return integer(name, min, max);
  }
  /// The decimal number that its author wrote.
  Result<double> decimal(std::string_view name, double min, double max) const {
    return shortest_decimal(TRY(file_.number(key(name), min, max)));
  }
  Result<double> decimal_or(std::string_view name, double fallback, double min, double max) const {
    if (!has(name)) return fallback;
    return decimal(name, min, max);
  }
  Error not_supported(const std::string& thing) const {
    return unsupported(file_.path().string() + ": " + thing + " is not supported by import");
  }
  Error corrupt(const std::string& problem) const {
    return corrupt_data(file_.path().string() + ": " + problem);
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

Result<std::vector<float>> read_factors(const Metadata& metadata, const std::string& name,
                                        std::int64_t rotary_dim) {
  const GgufTensor* tensor = metadata.file().find_tensor(name);
  const auto count = static_cast<std::size_t>(rotary_dim / 2);
  if (tensor == nullptr || tensor->type != GgufType::kF32 || tensor->data.size() != count * sizeof(float)) {
    return metadata.corrupt("tensor " + name + ": must be F32 [" + std::to_string(count) + "]");
  }
  std::vector<float> factors(count);
  std::memcpy(factors.data(), tensor->data.data(), tensor->data.size());
  return factors;
}

// Llama 3.x files carry, instead of the configuration, the factor by which each frequency is divided. The
// configuration's rule (see model/rope.h) has known parameters; those that give these factors are taken.
Result<json::object> recover_llama3_scaling(const Metadata& metadata, double theta, std::int64_t head_dim) {
  const std::vector<float> given = TRY(read_factors(metadata, "rope_freqs.weight", head_dim));
  const double factor = shortest_decimal(*std::max_element(given.begin(), given.end()));
  constexpr double kLow = 1.0;
  constexpr double kHigh = 4.0;
  constexpr double kOriginal = 8192.0;
  for (std::size_t i = 0; i < given.size(); ++i) {
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
      return metadata.not_supported("tensor rope_freqs.weight: a frequency scaling other than Llama 3's");
    }
  }
  return json::object{{"rope_type", "llama3"},
                      {"factor", plain_number(factor)},
                      {"low_freq_factor", kLow},
                      {"high_freq_factor", kHigh},
                      {"original_max_position_embeddings", static_cast<std::int64_t>(kOriginal)}};
}

// Phi-3's factors for each frequency, for short and for long contexts, as they are.
Result<json::object> read_longrope(const Metadata& metadata, std::int64_t rotary_dim,
                                   std::int64_t original_context) {
  json::object scaling{{"type", "longrope"}, {"rope_type", "longrope"}};
  for (const char* kind : {"long", "short"}) {
    json::array factors;
    for (const float factor :
         TRY(read_factors(metadata, std::string("rope_factors_") + kind + ".weight", rotary_dim))) {
      if (!(factor >= 1e-3F && factor <= 1e6F)) {
        return metadata.corrupt(std::string("tensor rope_factors_") + kind +
                                ".weight: a factor is not between 0.001 and 1e6");
      }
      factors.emplace_back(shortest_decimal(double{factor}));
    }
    scaling[std::string(kind) + "_factor"] = std::move(factors);
  }
  scaling["original_max_position_embeddings"] = original_context;
  return scaling;
}

Result<json::object> read_yarn(const Metadata& metadata, std::int64_t context) {
  // What these would change has no place in the configuration.
  for (const char* name : {"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"}) {
    if (TRY(metadata.decimal_or(name, 1.0, 0.0, 1e6)) != 1.0)
      return metadata.not_supported(metadata.key(name));
  }
  for (const char* name : {"rope.scaling.yarn_ext_factor", "rope.scaling.yarn_log_multiplier"}) {
    if (metadata.has(name)) return metadata.not_supported(metadata.key(name));
  }
  const double factor = TRY(metadata.decimal("rope.scaling.factor", 1e-3, 1e6));
  json::object scaling{{"type", "yarn"}, {"rope_type", "yarn"}, {"factor", plain_number(factor)}};
  scaling["original_max_position_embeddings"] =
      TRY(metadata.integer_or("rope.scaling.original_context_length", context, 1, INT32_MAX));
  for (const char* beta : {"beta_fast", "beta_slow"}) {
    const std::string name = std::string("rope.scaling.yarn_") + beta;
    if (metadata.has(name)) scaling[beta] = plain_number(TRY(metadata.decimal(name, 1e-3, 1e6)));
  }
  return scaling;
}

// `rotary_dim`: dimensions of a head that rotate.
Result<json::value> read_rope_scaling(const Metadata& metadata, double theta, std::int64_t rotary_dim,
                                      std::int64_t context, GgufModel& model) {
  const GgufFile& file = metadata.file();
  const std::string_view architecture = model.architecture->name;
  if (architecture == "llama" && file.find_tensor("rope_freqs.weight") != nullptr) {
    model.rope_tensors = {"rope_freqs.weight"};
    return json::value(TRY(recover_llama3_scaling(metadata, theta, rotary_dim)));
  }
  if (architecture == "phi3" && file.find_tensor("rope_factors_long.weight") != nullptr) {
    model.rope_tensors = {"rope_factors_long.weight", "rope_factors_short.weight"};
    const std::int64_t original = TRY(metadata.integer("rope.scaling.original_context_length", 2, INT32_MAX));
    // What cosines and sines are multiplied with follows from the lengths; files repeat it.
    const double longer = static_cast<double>(context) / static_cast<double>(original);
    const double implied =
        longer <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(longer) / std::log(static_cast<double>(original)));
    const double given = TRY(metadata.decimal_or("rope.scaling.attn_factor", implied, 0.0, 1e6));
    if (std::abs(given - implied) > 1e-4 * implied) {
      return metadata.not_supported(metadata.key("rope.scaling.attn_factor") +
                                    " other than its lengths imply");
    }
    return json::value(TRY(read_longrope(metadata, rotary_dim, original)));
  }
  std::string_view type = "none";
  if (metadata.has("rope.scaling.type")) type = TRY(file.string(metadata.key("rope.scaling.type")));
  if (type == "yarn") return json::value(TRY(read_yarn(metadata, context)));
  std::string_view name = "rope.scaling.factor";
  if (metadata.has("rope.scale_linear")) {
    type = "linear";
    name = "rope.scale_linear";
  }
  if (type == "none" || type.empty()) return json::value(nullptr);
  if (type != "linear")
    return metadata.not_supported("rope scaling of type " + std::string(type.substr(0, 64)));
  const double factor = TRY(metadata.decimal(name, 1e-3, 1e6));
  return json::value(
      json::object{{"type", "linear"}, {"rope_type", "linear"}, {"factor", plain_number(factor)}});
}

Result<void> refuse_other_features(const Metadata& metadata, const GgufArchitecture& architecture) {
  if (TRY(metadata.integer_or("expert_count", 0, 0, INT32_MAX)) > 0) {
    return metadata.not_supported("a mixture of experts (" + metadata.key("expert_count") + ")");
  }
  const bool may_slide = architecture.name == "gemma3" || architecture.name == "phi3";
  if (!may_slide && TRY(metadata.integer_or("attention.sliding_window", 0, 0, INT32_MAX)) > 0) {
    return metadata.not_supported("a sliding window (" + metadata.key("attention.sliding_window") + ")");
  }
  for (const char* cap : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (TRY(metadata.decimal_or(cap, 0.0, 0.0, 1e6)) != 0.0) {
      return metadata.not_supported("a cap on logits (" + metadata.key(cap) + ")");
    }
  }
  return {};
}

// Layers with a window, all but every sixth, have a rotation of their own, which is never scaled.
Result<void> add_gemma3(const Metadata& metadata, const GgufModel& model, json::object& config) {
  // 27B alone scales queries by the width of a head had the hidden state been divided evenly; the file does
  // not say so, and llama.cpp, too, goes by the number of layers.
  const bool is_27b = model.num_layers == 62;
  config["query_pre_attn_scalar"] = is_27b ? model.hidden_size / model.num_heads : model.head_dim;
  config["hidden_activation"] = "gelu_pytorch_tanh";
  config.erase("hidden_act");
  const std::int64_t window = TRY(metadata.integer_or("attention.sliding_window", 0, 0, INT32_MAX));
  const std::int64_t pattern = TRY(metadata.integer_or("attention.sliding_window_pattern", 6, 1, kMaxLayers));
  config["sliding_window"] = window > 0 ? window : config["max_position_embeddings"].as_int64();
  config["sliding_window_pattern"] = window > 0 ? pattern : 1;
  config["rope_local_base_freq"] =
      plain_number(TRY(metadata.decimal_or("rope.freq_base_swa", 10000.0, 1e-3, 1e12)));
  return {};
}

Result<void> add_phi3(const Metadata& metadata, const GgufModel& model, std::int64_t rotary_dim,
                      json::object& config) {
  const std::int64_t window = TRY(metadata.integer_or("attention.sliding_window", 0, 0, INT32_MAX));
  if (window > 0) config["sliding_window"] = window;
  config["partial_rotary_factor"] =
      plain_number(static_cast<double>(rotary_dim) / static_cast<double>(model.head_dim));
  if (metadata.has("rope.scaling.original_context_length")) {
    config["original_max_position_embeddings"] =
        TRY(metadata.integer("rope.scaling.original_context_length", 2, INT32_MAX));
  }
  return {};
}

Result<void> read_sizes(const Metadata& metadata, GgufModel& model) {
  model.hidden_size = TRY(metadata.integer("embedding_length", 1, kMaxWidth));
  model.num_layers = TRY(metadata.integer("block_count", 1, kMaxLayers));
  model.intermediate_size = TRY(metadata.integer("feed_forward_length", 1, kMaxWidth));
  model.num_heads = TRY(metadata.integer("attention.head_count", 1, kMaxHeads));
  model.num_kv_heads = TRY(metadata.integer_or("attention.head_count_kv", model.num_heads, 1, kMaxHeads));
  model.head_dim = TRY(metadata.integer_or("attention.key_length",
                                           std::max<std::int64_t>(1, model.hidden_size / model.num_heads), 1,
                                           kMaxHeadDim));
  if (TRY(metadata.integer_or("attention.value_length", model.head_dim, 1, kMaxHeadDim)) != model.head_dim) {
    return metadata.not_supported("a head whose keys and values differ in size");
  }
  if (model.head_dim % 2 != 0) {
    return metadata.corrupt("its heads have " + std::to_string(model.head_dim) +
                            " elements, must be an even number");
  }
  const GgufTensor* embedding = metadata.file().find_tensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return metadata.corrupt("tensor token_embd.weight is missing");
  }
  model.vocab_size = embedding->shape[0];
  model.tied_embeddings = metadata.file().find_tensor("output.weight") == nullptr;
  return {};
}

// Llama models have them or not, the others always or never.
void find_biases(const GgufFile& file, GgufModel& model) {
  if (model.architecture->name == "llama") {
    model.qkv_bias = file.find_tensor("blk.0.attn_q.bias") != nullptr;
    model.output_bias = model.qkv_bias;
    model.mlp_bias = file.find_tensor("blk.0.ffn_gate.bias") != nullptr;
  } else {
    model.qkv_bias = model.architecture->name == "qwen2";
  }
}

}  // namespace

Result<GgufModel> read_gguf_model(const GgufFile& file) {
  const std::string_view name = TRY(file.string("general.architecture"));
  GgufModel model;
  model.architecture = find_gguf_architecture(name);
  const Metadata metadata(file, name);
  if (model.architecture == nullptr) {
    return metadata.not_supported("architecture " + std::string(name.substr(0, 64)) + " (" +
                                  std::string(gguf_architecture_names()) + " are)");
  }
  TRY(refuse_other_features(metadata, *model.architecture));
  TRY(read_sizes(metadata, model));
  find_biases(file, model);
  const std::int64_t rotary_dim =
      TRY(metadata.integer_or("rope.dimension_count", model.head_dim, 1, kMaxHeadDim));
  const bool may_rotate_less = name == "phi3" && rotary_dim < model.head_dim && rotary_dim % 2 == 0;
  if (rotary_dim != model.head_dim && !may_rotate_less) {
    return metadata.not_supported("a rotation of " + std::to_string(rotary_dim) + " of a head's " +
                                  std::to_string(model.head_dim) + " elements");
  }
  const std::int64_t context = TRY(metadata.integer("context_length", 1, INT32_MAX));
  const double theta = TRY(metadata.decimal_or("rope.freq_base", 10000.0, 1e-3, 1e12));

  json::object& config = model.config;
  config["architectures"] = json::array{model.architecture->model_class};
  config["model_type"] = model.architecture->model_type;
  config["hidden_size"] = model.hidden_size;
  config["intermediate_size"] = model.intermediate_size;
  config["num_hidden_layers"] = model.num_layers;
  config["num_attention_heads"] = model.num_heads;
  config["num_key_value_heads"] = model.num_kv_heads;
  config["head_dim"] = model.head_dim;
  config["hidden_act"] = "silu";
  config["rms_norm_eps"] = TRY(metadata.decimal("attention.layer_norm_rms_epsilon", 1e-12, 0.1));
  config["rope_theta"] = plain_number(theta);
  config["rope_scaling"] = TRY(read_rope_scaling(metadata, theta, rotary_dim, context, model));
  config["max_position_embeddings"] = context;
  config["vocab_size"] = model.vocab_size;
  config["tie_word_embeddings"] = model.tied_embeddings;
  if (name == "llama") {
    config["attention_bias"] = model.qkv_bias;
    config["mlp_bias"] = model.mlp_bias;
  } else if (name == "qwen3") {
    config["attention_bias"] = false;
  } else if (name == "gemma3") {
    TRY(add_gemma3(metadata, model, config));
  } else if (name == "phi3") {
    TRY(add_phi3(metadata, model, rotary_dim, config));
  }
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
