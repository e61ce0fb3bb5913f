// Small tokenizer.json files for this module's tests, one for each way of decoding, and the demo model's
// where the test program is given it.
#pragma once

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace mlxd::test {

namespace json = boost::json;

inline std::string utf8_of(unsigned code) {
  std::string out;
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
  } else {
    out.push_back(static_cast<char>(0xC0U | (code >> 6U)));
    out.push_back(static_cast<char>(0x80U | (code & 0x3FU)));
  }
  return out;
}

/// The printable character that ByteLevel writes for a byte.
inline std::string byte_level_name(unsigned byte) {
  const auto printable = [](unsigned b) {
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
  };
  if (printable(byte)) return utf8_of(byte);
  unsigned rank = 0;
  for (unsigned b = 0; b < byte; ++b) rank += printable(b) ? 0 : 1;
  return utf8_of(0x100 + rank);
}

inline json::object added_token(int id, std::string_view content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

inline json::object base_tokenizer() {
  return {{"version", "1.0"},         {"truncation", nullptr},
          {"padding", nullptr},       {"added_tokens", json::array{}},
          {"normalizer", nullptr},    {"pre_tokenizer", nullptr},
          {"post_processor", nullptr}};
}

/// Byte-level BPE: the 256 bytes, a few merges, and added tokens, one of which is plain text; and more
/// special ones.
inline std::string byte_level_tokenizer(const std::vector<std::string>& special = {}) {
  json::object tokenizer = base_tokenizer();
  json::object vocab;
  int next = 0;
  for (unsigned byte = 0; byte < 256; ++byte) vocab[byte_level_name(byte)] = next++;
  json::array merges;
  const std::string space = byte_level_name(' ');
  for (const auto& [left, right] :
       std::vector<std::pair<std::string, std::string>>{{"h", "e"},
                                                        {"l", "l"},
                                                        {"he", "ll"},
                                                        {"hell", "o"},
                                                        {space, "w"},
                                                        {space + "w", "o"},
                                                        {utf8_of(0xE2), utf8_of(0xC2)}}) {
    merges.push_back(json::array{left, right});
    vocab[left + right] = next++;
  }
  tokenizer["model"] = json::object{{"type", "BPE"},
                                    {"dropout", nullptr},
                                    {"unk_token", nullptr},
                                    {"continuing_subword_prefix", nullptr},
                                    {"end_of_word_suffix", nullptr},
                                    {"fuse_unk", false},
                                    {"byte_fallback", false},
                                    {"vocab", vocab},
                                    {"merges", merges}};
  json::array added{added_token(next, "<|end|>", true), added_token(next + 1, "<tool é>", false)};
  for (const std::string& each : special)
    added.push_back(added_token(next + static_cast<int>(added.size()), each, true));
  tokenizer["added_tokens"] = std::move(added);
  tokenizer["pre_tokenizer"] = json::object{
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  tokenizer["decoder"] = json::object{
      {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  return json::serialize(tokenizer);
}

/// SentencePiece-like BPE with byte fallback; `decoder` decides how the leading space goes.
inline std::string byte_fallback_tokenizer(const json::value& decoder) {
  json::object tokenizer = base_tokenizer();
  json::object vocab;
  int next = 0;
  for (const char* name : {"<unk>", "<s>", "</s>"}) vocab[name] = next++;
  const char* digits = "0123456789ABCDEF";
  for (unsigned byte = 0; byte < 256; ++byte) {
    vocab[std::string("<0x") + digits[byte >> 4U] + digits[byte & 15U] + ">"] = next++;
  }
  const std::string mark = "\xE2\x96\x81";
  for (const std::string& name :
       {mark, mark + mark, mark + "the", std::string("a"), std::string("b"), std::string("é"),
        mark + "a" + mark, std::string("<0xZZ>"), std::string("##x")}) {
    vocab[name] = next++;
  }
  tokenizer["model"] = json::object{{"type", "BPE"},
                                    {"dropout", nullptr},
                                    {"unk_token", "<unk>"},
                                    {"continuing_subword_prefix", nullptr},
                                    {"end_of_word_suffix", nullptr},
                                    {"fuse_unk", true},
                                    {"byte_fallback", true},
                                    {"vocab", vocab},
                                    {"merges", json::array{}}};
  tokenizer["added_tokens"] =
      json::array{added_token(0, "<unk>", true), added_token(1, "<s>", true), added_token(2, "</s>", true),
                  added_token(next, "<end of turn>", false)};
  tokenizer["normalizer"] = json::object{
      {"type", "Sequence"},
      {"normalizers",
       json::array{json::object{{"type", "Prepend"}, {"prepend", mark}},
                   json::object{
                       {"type", "Replace"}, {"pattern", json::object{{"String", " "}}}, {"content", mark}}}}};
  tokenizer["post_processor"] = json::object{
      {"type", "TemplateProcessing"},
      {"single", json::array{json::object{{"SpecialToken", json::object{{"id", "<s>"}, {"type_id", 0}}}},
                             json::object{{"Sequence", json::object{{"id", "A"}, {"type_id", 0}}}}}},
      {"pair", json::array{json::object{{"Sequence", json::object{{"id", "A"}, {"type_id", 0}}}},
                           json::object{{"Sequence", json::object{{"id", "B"}, {"type_id", 1}}}}}},
      {"special_tokens",
       json::object{
           {"<s>", json::object{{"id", "<s>"}, {"ids", json::array{1}}, {"tokens", json::array{"<s>"}}}}}}};
  tokenizer["decoder"] = decoder;
  return json::serialize(tokenizer);
}

inline json::value sequence_decoder(json::array stages) {
  return json::object{{"type", "Sequence"}, {"decoders", std::move(stages)}};
}
inline json::value replace_mark() {
  return json::object{
      {"type", "Replace"}, {"pattern", json::object{{"String", "\xE2\x96\x81"}}}, {"content", " "}};
}
inline json::value strip_decoder(int start, int stop) {
  return json::object{{"type", "Strip"}, {"content", " "}, {"start", start}, {"stop", stop}};
}
inline json::value plain_decoder(const char* type) { return json::object{{"type", type}}; }

/// Decoders as published models have them, and some that only the library itself can follow.
inline std::vector<std::pair<std::string, json::value>> decoders() {
  return {
      {"llama", sequence_decoder({replace_mark(), plain_decoder("ByteFallback"), plain_decoder("Fuse"),
                                  strip_decoder(1, 0)})},
      {"gemma", sequence_decoder({replace_mark(), plain_decoder("ByteFallback"), plain_decoder("Fuse")})},
      {"fallback only", plain_decoder("ByteFallback")},
      {"strips three", sequence_decoder({replace_mark(), plain_decoder("ByteFallback"), plain_decoder("Fuse"),
                                         strip_decoder(3, 0)})},
      {"strips each token", sequence_decoder({replace_mark(), strip_decoder(1, 0), plain_decoder("Fuse")})},
      {"metaspace", json::object{{"type", "Metaspace"},
                                 {"replacement", "\xE2\x96\x81"},
                                 {"prepend_scheme", "always"},
                                 {"split", true}}},
      {"metaspace never", json::object{{"type", "Metaspace"},
                                       {"replacement", "\xE2\x96\x81"},
                                       {"prepend_scheme", "never"},
                                       {"split", true}}},
      {"wordpiece", json::object{{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
      {"none", nullptr},
      {"strips the end", sequence_decoder({replace_mark(), plain_decoder("ByteFallback"),
                                           plain_decoder("Fuse"), strip_decoder(1, 1)})},
      {"word ends", json::object{{"type", "BPEDecoder"}, {"suffix", "b"}}},
      {"fused first", sequence_decoder({plain_decoder("Fuse"), replace_mark()})},
  };
}

/// The folder of a real model, from MLXD_TEST_MODEL.
inline std::optional<std::filesystem::path> model_folder() {
  const char* folder = std::getenv("MLXD_TEST_MODEL");
  if (folder == nullptr || !std::filesystem::exists(std::filesystem::path(folder) / "tokenizer.json"))
    return {};
  return folder;
}

}  // namespace mlxd::test
