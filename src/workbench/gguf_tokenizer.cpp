#include "workbench/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mlxd {
namespace {

namespace json = boost::json;

// SentencePiece's token types.
enum class TokenType : std::int64_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

struct Vocabulary {
  const std::vector<std::string_view>* names = nullptr;
  std::vector<TokenType> types;
  std::unordered_map<std::string_view, std::int64_t> ids;
};

json::string_view view(std::string_view text) { return {text.data(), text.size()}; }

bool is_valid_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xC2 && lead < 0xE0 ? 2
                               : lead >= 0xE0 && lead < 0xF0 ? 3
                               : lead >= 0xF0 && lead < 0xF5 ? 4
                                                             : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (std::size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0U) != 0x80U) return false;
    }
    const auto second = length > 1 ? static_cast<unsigned char>(text[i + 1]) : 0U;
    // Overlong forms, surrogates, and beyond U+10FFFF.
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second >= 0xA0) ||
        (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second >= 0x90)) {
      return false;
    }
    i += length;
  }
  return true;
}

Error corrupt(const GgufFile& file, const std::string& problem) {
  return corrupt_data(file.path().string() + ": " + problem);
}

Result<Vocabulary> read_vocabulary(const GgufFile& file) {
  Vocabulary vocabulary;
  vocabulary.names = TRY(file.strings("tokenizer.ggml.tokens"));
  vocabulary.types.assign(vocabulary.names->size(), TokenType::kNormal);
  if (const GgufValue* value = file.find("tokenizer.ggml.token_type")) {
    const auto* array = std::get_if<GgufArray>(value);
    const auto* types = array != nullptr ? std::get_if<std::vector<std::int64_t>>(array) : nullptr;
    if (types == nullptr || types->size() != vocabulary.names->size()) {
      return corrupt(file, "metadata tokenizer.ggml.token_type must hold one number a token");
    }
    for (std::size_t i = 0; i < types->size(); ++i) {
      if ((*types)[i] < 1 || (*types)[i] > 6) {
        return corrupt(file, "metadata tokenizer.ggml.token_type: token " + std::to_string(i) + " has type " +
                                 std::to_string((*types)[i]) + ", must be 1 to 6");
      }
      vocabulary.types[i] = static_cast<TokenType>((*types)[i]);
    }
  }
  for (std::size_t i = 0; i < vocabulary.names->size(); ++i) {
    const std::string_view name = (*vocabulary.names)[i];
    if (!is_valid_utf8(name)) return corrupt(file, "token " + std::to_string(i) + " is not valid UTF-8");
    const auto [other, is_new] = vocabulary.ids.emplace(name, static_cast<std::int64_t>(i));
    if (!is_new) {
      return corrupt(file, "tokens " + std::to_string(other->second) + " and " + std::to_string(i) +
                               " have the same text");
    }
  }
  return vocabulary;
}

json::object byte_level(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

json::object split(const char* regex) {
  return {{"type", "Split"},
          {"pattern", json::object{{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

json::object sequence(const char* member, json::array parts) {
  return {{"type", "Sequence"}, {member, std::move(parts)}};
}

// How running text is cut before merging: tokenizer.ggml.pre names it, the original tokenizer's rules follow.
struct PreTokenizer {
  std::vector<std::string_view> names;
  json::object rules;
  json::value normalizer;
  bool ignore_merges = false;
  bool adds_bos = false;  // unless the metadata says otherwise
};

std::vector<PreTokenizer> known_pre_tokenizers() {
  constexpr const char* kLlama3 =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
      "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  constexpr const char* kQwen2 =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
      "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  constexpr const char* kTekken =
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}|"
      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  constexpr const char* kGpt4o =
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
      "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|"
      "\\s+(?!\\S)|\\s+";
  const json::object digits{{"type", "Digits"}, {"individual_digits", true}};
  const json::object nfc{{"type", "NFC"}};
  const auto regex_then_bytes = [](const char* regex) {
    return sequence("pretokenizers", {split(regex), byte_level(false)});
  };
  return {
      {{"smollm", "starcoder", "refact", "command-r", "codeshell"},
       sequence("pretokenizers", {digits, byte_level(true)}),
       nullptr},
      {{"gpt-2", "gpt2", "mpt", "olmo", "phi-2"}, byte_level(true), nullptr},
      {{"llama-bpe", "llama3", "llama-v3", "falcon3"}, regex_then_bytes(kLlama3), nullptr, true, true},
      {{"dbrx"}, regex_then_bytes(kLlama3), nullptr},
      {{"gpt-4o"}, regex_then_bytes(kGpt4o), nullptr},
      {{"qwen2", "deepseek-r1-qwen"}, regex_then_bytes(kQwen2), nfc},
      {{"tekken"}, regex_then_bytes(kTekken), nullptr, true, true},
  };
}

Result<PreTokenizer> find_pre_tokenizer(const GgufFile& file) {
  std::string_view name = "default";
  if (file.has("tokenizer.ggml.pre")) name = TRY(file.string("tokenizer.ggml.pre"));
  std::string known;
  for (PreTokenizer& candidate : known_pre_tokenizers()) {
    if (std::find(candidate.names.begin(), candidate.names.end(), name) != candidate.names.end()) {
      return std::move(candidate);
    }
    known += (known.empty() ? "" : ", ") + std::string(candidate.names.front());
  }
  return unsupported(file.path().string() + ": pre-tokenizer " + std::string(name.substr(0, 64)) +
                     " (tokenizer.ggml.pre) is not supported by import; " + known + " are");
}

json::object bpe_model(json::object vocabulary, json::array merges) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", std::move(vocabulary)},
          {"merges", std::move(merges)}};
}

// Phi-3's SentencePiece tokenizer drops white space after most of its special tokens. The file does not say
// so; llama.cpp, too, knows it of the model.
bool drops_space_after(const GgufFile& file, std::string_view token) {
  const auto name = file.string("general.architecture");
  const auto model = file.string("tokenizer.ggml.model");
  if (!name.ok() || *name != "phi3" || !model.ok() || *model != "llama") return false;
  return token != "<unk>" && token != "<s>" && token != "<|endoftext|>";
}

// Tokens recognised in running text before anything else.
json::array added_tokens(const GgufFile& file, const Vocabulary& vocabulary) {
  json::array tokens;
  for (std::size_t i = 0; i < vocabulary.types.size(); ++i) {
    const TokenType type = vocabulary.types[i];
    if (type != TokenType::kControl && type != TokenType::kUserDefined && type != TokenType::kUnknown)
      continue;
    const std::string_view name = (*vocabulary.names)[i];
    tokens.push_back(json::object{{"id", i},
                                  {"content", view(name)},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", drops_space_after(file, name)},
                                  {"normalized", false},
                                  {"special", type != TokenType::kUserDefined}});
  }
  return tokens;
}

// Puts BOS before and EOS after a text where the model wants them.
Result<json::value> make_template(const GgufFile& file, const Vocabulary& vocabulary,
                                  const GgufSpecialTokens& special, bool adds_bos) {
  const bool bos = file.boolean_or("tokenizer.ggml.add_bos_token", adds_bos);
  const bool eos = file.boolean_or("tokenizer.ggml.add_eos_token", false);
  if (!bos && !eos) return json::value(nullptr);
  if ((bos && !special.bos) || (eos && !special.eos)) {
    return corrupt(file, "its tokenizer adds a BOS or EOS token that the metadata does not name");
  }
  json::array single;
  json::array pair;
  json::object tokens;
  const auto add_special = [&](json::array& list, std::int64_t id, int type) {
    const json::string_view name = view((*vocabulary.names)[static_cast<std::size_t>(id)]);
    list.push_back(json::object{{"SpecialToken", json::object{{"id", name}, {"type_id", type}}}});
    tokens[name] = json::object{{"id", name}, {"ids", json::array{id}}, {"tokens", json::array{name}}};
  };
  const auto add_text = [&](json::array& list, const char* id, int type) {
    if (bos) add_special(list, *special.bos, type);
    list.push_back(json::object{{"Sequence", json::object{{"id", id}, {"type_id", type}}}});
    if (eos) add_special(list, *special.eos, type);
  };
  add_text(single, "A", 0);
  add_text(pair, "A", 0);
  add_text(pair, "B", 1);
  return json::value(json::object{{"type", "TemplateProcessing"},
                                  {"single", std::move(single)},
                                  {"pair", std::move(pair)},
                                  {"special_tokens", std::move(tokens)}});
}

json::object make_document(json::value normalizer, json::value pre_tokenizer, json::value post_processor,
                           json::value decoder, json::object model, json::array added) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(added)},
          {"normalizer", std::move(normalizer)},
          {"pre_tokenizer", std::move(pre_tokenizer)},
          {"post_processor", std::move(post_processor)},
          {"decoder", std::move(decoder)},
          {"model", std::move(model)}};
}

Result<json::object> make_byte_level(const GgufFile& file, const Vocabulary& vocabulary,
                                     const GgufSpecialTokens& special) {
  PreTokenizer pre = TRY(find_pre_tokenizer(file));
  json::object tokens;
  tokens.reserve(vocabulary.names->size());
  for (std::size_t i = 0; i < vocabulary.names->size(); ++i) {
    // Unused tokens pad the vocabulary; the original tokenizer does not know them.
    if (vocabulary.types[i] != TokenType::kUnused) tokens[view((*vocabulary.names)[i])] = i;
  }
  json::array merges;
  for (const std::string_view merge : *TRY(file.strings("tokenizer.ggml.merges"))) {
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || !vocabulary.ids.contains(merge.substr(0, space)) ||
        !vocabulary.ids.contains(merge.substr(space + 1))) {
      return corrupt(
          file, "merge " + std::to_string(merges.size()) + " of tokenizer.ggml.merges is not two tokens");
    }
    merges.push_back(json::array{view(merge.substr(0, space)), view(merge.substr(space + 1))});
  }
  json::object model = bpe_model(std::move(tokens), std::move(merges));
  model["ignore_merges"] = pre.ignore_merges;
  json::value post_processor = TRY(make_template(file, vocabulary, special, pre.adds_bos));
  return make_document(std::move(pre.normalizer), std::move(pre.rules), std::move(post_processor),
                       byte_level(true), std::move(model), added_tokens(file, vocabulary));
}

// SentencePiece merges the neighbours whose union scores best; as ranked merges that is every way to split
// every token into two tokens, best token first.
Result<json::array> merges_from_scores(const GgufFile& file, const Vocabulary& vocabulary) {
  const GgufValue* value = file.find("tokenizer.ggml.scores");
  const auto* array = value != nullptr ? std::get_if<GgufArray>(value) : nullptr;
  const auto* scores = array != nullptr ? std::get_if<std::vector<double>>(array) : nullptr;
  if (scores == nullptr || scores->size() != vocabulary.names->size()) {
    return corrupt(file, "metadata tokenizer.ggml.scores must hold one number a token");
  }
  const auto takes_part = [&](std::int64_t id) {
    const TokenType type = vocabulary.types[static_cast<std::size_t>(id)];
    return type == TokenType::kNormal || type == TokenType::kUserDefined;
  };
  struct Merge {
    double score;
    std::int64_t left, right;
  };
  constexpr std::size_t kLongestToken = 512;  // bytes; bounds the work on a hostile file
  std::vector<Merge> found;
  for (std::size_t i = 0; i < vocabulary.names->size(); ++i) {
    const std::string_view name = (*vocabulary.names)[i];
    if (!takes_part(static_cast<std::int64_t>(i))) continue;
    if (name.size() > kLongestToken)
      return corrupt(file, "token " + std::to_string(i) + " is over 512 bytes long");
    std::vector<Merge> of_token;
    for (std::size_t cut = 1; cut < name.size(); ++cut) {
      if ((static_cast<unsigned char>(name[cut]) & 0xC0U) == 0x80U) continue;  // inside a character
      const auto left = vocabulary.ids.find(name.substr(0, cut));
      const auto right = vocabulary.ids.find(name.substr(cut));
      if (left == vocabulary.ids.end() || right == vocabulary.ids.end()) continue;
      if (!takes_part(left->second) || !takes_part(right->second)) continue;
      of_token.push_back({(*scores)[i], left->second, right->second});
    }
    std::sort(of_token.begin(), of_token.end(), [](const Merge& a, const Merge& b) {
      return std::pair(a.left, a.right) < std::pair(b.left, b.right);
    });
    found.insert(found.end(), of_token.begin(), of_token.end());
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Merge& a, const Merge& b) { return a.score > b.score; });
  json::array merges;
  for (const Merge& merge : found) {
    merges.push_back(json::array{view((*vocabulary.names)[static_cast<std::size_t>(merge.left)]),
                                 view((*vocabulary.names)[static_cast<std::size_t>(merge.right)])});
  }
  return merges;
}

Result<json::object> make_sentencepiece(const GgufFile& file, const Vocabulary& vocabulary,
                                        const GgufSpecialTokens& special) {
  constexpr const char* kSpaceMark = "\xE2\x96\x81";  // ▁
  json::object tokens;
  tokens.reserve(vocabulary.names->size());
  for (std::size_t i = 0; i < vocabulary.names->size(); ++i) tokens[view((*vocabulary.names)[i])] = i;
  json::object model = bpe_model(std::move(tokens), TRY(merges_from_scores(file, vocabulary)));
  model["byte_fallback"] = true;
  model["fuse_unk"] = true;
  for (std::size_t i = 0; i < vocabulary.types.size(); ++i) {
    if (vocabulary.types[i] == TokenType::kUnknown) model["unk_token"] = view((*vocabulary.names)[i]);
  }
  const bool prefix = file.boolean_or("tokenizer.ggml.add_space_prefix", true);
  json::array normalizers;
  if (prefix) normalizers.push_back(json::object{{"type", "Prepend"}, {"prepend", kSpaceMark}});
  normalizers.push_back(
      json::object{{"type", "Replace"}, {"pattern", json::object{{"String", " "}}}, {"content", kSpaceMark}});
  json::array decoders;
  decoders.push_back(
      json::object{{"type", "Replace"}, {"pattern", json::object{{"String", kSpaceMark}}}, {"content", " "}});
  decoders.push_back(json::object{{"type", "ByteFallback"}});
  decoders.push_back(json::object{{"type", "Fuse"}});
  if (prefix)
    decoders.push_back(json::object{{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  json::value post_processor = TRY(make_template(file, vocabulary, special, true));
  return make_document(sequence("normalizers", std::move(normalizers)), nullptr, std::move(post_processor),
                       sequence("decoders", std::move(decoders)), std::move(model),
                       added_tokens(file, vocabulary));
}

}  // namespace

Result<json::object> make_tokenizer(const GgufFile& file, const GgufSpecialTokens& special) {
  const std::string_view model = TRY(file.string("tokenizer.ggml.model"));
  if (model != "gpt2" && model != "llama") {
    return unsupported(file.path().string() + ": tokenizer " + std::string(model.substr(0, 64)) +
                       " (tokenizer.ggml.model) is not supported by import; gpt2 and llama are");
  }
  const Vocabulary vocabulary = TRY(read_vocabulary(file));
  return model == "gpt2" ? make_byte_level(file, vocabulary, special)
                         : make_sentencepiece(file, vocabulary, special);
}

Result<json::object> make_tokenizer_config(const GgufFile& file, const GgufSpecialTokens& special,
                                           std::int64_t context_tokens) {
  const auto& names = *TRY(file.strings("tokenizer.ggml.tokens"));
  json::object config;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["clean_up_tokenization_spaces"] = false;
  config["model_max_length"] = context_tokens;
  const auto set = [&](const char* role, std::optional<std::int64_t> token) {
    if (token) config[role] = view(names[static_cast<std::size_t>(*token)]);
  };
  set("bos_token", special.bos);
  set("eos_token", special.eos);
  set("unk_token", special.unknown);
  set("pad_token", special.padding);
  if (file.has("tokenizer.chat_template")) {
    const std::string_view chat_template = TRY(file.string("tokenizer.chat_template"));
    if (!is_valid_utf8(chat_template)) return corrupt(file, "tokenizer.chat_template is not valid UTF-8");
    config["chat_template"] = view(chat_template);
  }
  return config;
}

}  // namespace mlxd
