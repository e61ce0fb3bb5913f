#include "script.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdio>
#include <utility>

#include "text/json_file.h"

namespace mlxd::testing {
namespace {

/// Answers that may be under way at once, and those that others go on from.
constexpr std::size_t kMaxSpeeches = 256;

Error wrong(const std::filesystem::path& file, const std::string& what) {
  return Error(ErrorKind::kCorruptData, file.string() + ": " + what);
}

Result<std::string> text_of(const boost::json::object& answer, std::string_view name,
                            const std::filesystem::path& file) {
  const boost::json::value* const value = answer.if_contains(name);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return wrong(file, "'" + std::string(name) + "' is no text");
  return std::string(value->get_string());
}

}  // namespace

Result<Script> Script::read(const std::filesystem::path& file) {
  const boost::json::object object = TRY(read_json_file(file));
  const boost::json::value* const list = object.if_contains("answers");
  if (list == nullptr || !list->is_array()) return wrong(file, "there is no list 'answers'");
  std::vector<Answer> answers;
  for (const boost::json::value& each : list->get_array()) {
    if (!each.is_object()) return wrong(file, "an answer is no object");
    const boost::json::object& answer = each.get_object();
    answers.push_back({.when = TRY(text_of(answer, "when", file)),
                       .unless = TRY(text_of(answer, "unless", file)),
                       .say = TRY(text_of(answer, "say", file))});
  }
  return Script(std::move(answers));
}

const Script::Answer* Script::answer_to(std::string_view prompt) const {
  const Answer* chosen = nullptr;
  std::size_t chosen_at = 0;
  for (const Answer& answer : answers_) {
    if (!answer.unless.empty() && prompt.find(answer.unless) != std::string_view::npos) continue;
    const std::size_t at = answer.when.empty() ? 0 : prompt.rfind(answer.when);
    if (at == std::string_view::npos || (chosen != nullptr && at <= chosen_at)) continue;
    chosen = &answer;
    chosen_at = at;
  }
  return chosen;
}

TokenId ScriptSpeaker::next(std::span<const TokenId> prefix) {
  for (const Speech& speech : speeches_) {
    const std::size_t size = speech.prompt.size();
    if (prefix.size() < size || !std::equal(speech.prompt.begin(), speech.prompt.end(), prefix.begin()))
      continue;
    const TokenId token = go_on(speech, prefix.subspan(size));
    if (token != kNoToken) return token;
  }
  return go_on(begin(prefix), {});
}

const ScriptSpeaker::Speech& ScriptSpeaker::begin(std::span<const TokenId> prompt) {
  std::string prompt_text;
  for (const TokenId token : prompt) prompt_text += tokenizer_.token_bytes(token);
  const Script::Answer* const answer = script_.answer_to(prompt_text);
  if (answer == nullptr) {
    const std::string_view end =
        std::string_view(prompt_text)
            .substr(prompt_text.size() - std::min<std::size_t>(prompt_text.size(), 400));
    std::fprintf(stderr, "script: no answer to a prompt that ends in: %.*s\n", static_cast<int>(end.size()),
                 end.data());
  }
  Speech& speech = speeches_.emplace_front();
  if (speeches_.size() > kMaxSpeeches) speeches_.pop_back();
  speech.prompt.assign(prompt.begin(), prompt.end());
  if (answer == nullptr) return speech;
  auto tokens = tokenizer_.encode(answer->say, false);
  if (!tokens.ok()) {
    std::fprintf(stderr, "script: %s\n", tokens.error().message.c_str());
    return speech;
  }
  speech.text = answer->say;
  speech.tokens = tokens.take_value();
  return speech;
}

TokenId ScriptSpeaker::go_on(const Speech& speech, std::span<const TokenId> said) const {
  const std::vector<TokenId>& tokens = speech.tokens;
  if (said.size() <= tokens.size() && std::equal(said.begin(), said.end(), tokens.begin()))
    return said.size() < tokens.size() ? tokens[said.size()] : end_token_;
  std::string text;
  for (const TokenId token : said) text += tokenizer_.token_bytes(token);
  if (!speech.text.starts_with(text)) return kNoToken;
  if (text.size() == speech.text.size()) return end_token_;
  // A character may be said in part: then its bytes are tokens of the same vocabulary, one by one.
  const auto rest = tokenizer_.encode(speech.text.substr(text.size()), false);
  if (!rest.ok() || rest->empty()) return kNoToken;
  return rest->front();
}

}  // namespace mlxd::testing
