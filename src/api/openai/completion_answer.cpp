#include "api/openai/completion_answer.h"

#include <algorithm>
#include <utility>

#include "api/collected_answer.h"
#include "api/json_text.h"
#include "api/openai/answer_parts.h"

namespace mlxd::api::openai {
namespace {

constexpr std::string_view kIdPrefix = "cmpl-";
constexpr std::string_view kObject = "text_completion";

// An object of token name to log-probability: the token itself stands in it beside its alternatives. Of
// different tokens with one name it has the likeliest, so that none seems likelier than it is.
void append_alternatives(std::string& out, const TokenText& token) {
  std::vector<std::string> names;
  const auto append = [&](std::string_view bytes, float logprob) {
    std::string name = token_name(bytes);
    if (std::find(names.begin(), names.end(), name) != names.end()) return;
    if (!names.empty()) out += ',';
    append_json_string(out, name);
    out += ':';
    append_json_number(out, logprob);
    names.push_back(std::move(name));
  };
  out += '{';
  for (const TokenText::Alternative& other : token.top) append(other.bytes, other.logprob);
  append(token.bytes, token.logprob);
  out += '}';
}

}  // namespace

CompletionAnswerEncoder::CompletionAnswerEncoder(Options options)
    : options_(std::move(options)),
      chunk_head_("data: " + answer_head(options_.info, kIdPrefix, kObject) + R"(,"choices":[{"text":)"),
      text_offsets_(static_cast<std::size_t>(options_.num_choices), 0) {}

void CompletionAnswerEncoder::append_logprobs(std::string& out, const std::vector<TokenText>& tokens,
                                              std::int64_t& offset) const {
  out += R"("logprobs":)";
  if (!options_.logprobs) {
    out += "null";
    return;
  }
  std::string names, logprobs, tops, offsets;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    for (std::string* list : {&names, &logprobs, &tops, &offsets}) {
      if (i > 0) *list += ',';
    }
    append_json_string(names, token_name(tokens[i].bytes));
    if (tokens[i].has_logprob) {
      append_json_number(logprobs, tokens[i].logprob);
      append_alternatives(tops, tokens[i]);
    } else {
      logprobs += "null";
      tops += "null";
    }
    append_json_number(offsets, offset);
    offset += tokens[i].num_characters.value_or(count_characters(tokens[i].bytes));
  }
  out += R"({"tokens":[)" + names + R"(],"token_logprobs":[)" + logprobs + R"(],"top_logprobs":[)" + tops +
         R"(],"text_offset":[)" + offsets + "]}";
}

std::string CompletionAnswerEncoder::whole(std::span<const Choice> choices, const Usage& usage) {
  std::string out = answer_head(options_.info, kIdPrefix, kObject);
  out += R"(,"choices":[)";
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) out += ',';
    out += R"({"text":)";
    append_json_string(out, collect(choices[i].pieces).content);
    out += R"(,"index":)";
    append_json_number(out, static_cast<std::int64_t>(i));
    out += ',';
    std::int64_t offset = 0;
    append_logprobs(out, choices[i].logprobs, offset);
    out += R"(,"finish_reason":)";
    append_json_string(out, to_string(choices[i].finish));
    out += '}';
  }
  out += R"(],"usage":)";
  append_usage(out, usage);
  append_cache(out, usage);
  out += '}';
  return out;
}

void CompletionAnswerEncoder::begin(std::string&) {}

void CompletionAnswerEncoder::append_chunk(std::string& out, std::int32_t choice, const std::string& text,
                                           const std::vector<TokenText>& tokens,
                                           std::string_view finish_reason) {
  out += chunk_head_;
  append_json_string(out, text);
  out += R"(,"index":)";
  append_json_number(out, std::int64_t{choice});
  out += ',';
  if (tokens.empty())
    out += R"("logprobs":null)";
  else
    append_logprobs(out, tokens, text_offsets_[static_cast<std::size_t>(choice)]);
  out += R"(,"finish_reason":)";
  if (finish_reason.empty())
    out += "null";
  else
    append_json_string(out, finish_reason);
  out += options_.include_usage ? "}],\"usage\":null}\n\n" : "}]}\n\n";
}

void CompletionAnswerEncoder::event(std::string& out, std::int32_t choice, const TextEvent& event,
                                    const Usage& /*so_far*/) {
  const std::string text = content_of(event);
  if (!text.empty() || !event.logprobs.empty()) append_chunk(out, choice, text, event.logprobs, {});
  if (event.finish) append_chunk(out, choice, {}, {}, to_string(*event.finish));
}

void CompletionAnswerEncoder::end(std::string& out, const Usage& usage) {
  if (options_.include_usage || !usage.cache.empty()) {
    out += "data: ";
    out += answer_head(options_.info, kIdPrefix, kObject);
    out += R"(,"choices":[],"usage":)";
    if (options_.include_usage)
      append_usage(out, usage);
    else
      out += "null";
    append_cache(out, usage);
    out += "}\n\n";
  }
  out += "data: [DONE]\n\n";
}

void CompletionAnswerEncoder::fail(std::string& out, const Error& error) { append_error_event(out, error); }

}  // namespace mlxd::api::openai
