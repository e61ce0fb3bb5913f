// One API request as every dialect decodes it: what to generate from, how, and in which form the answer goes
// back. Values; nothing here is checked against a model yet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "generation/conversation.h"
#include "generation/sampling_params.h"
#include "generation/token.h"

namespace mlxd::api {

/// Text to tokenize as it stands, or tokens.
using RawPrompt = std::variant<std::string, std::vector<TokenId>>;

struct GenerationCall {
  std::string model;
  /// An adapter of the model, which `model` may name too, as MODEL+ADAPTER; empty: none, or the one there.
  std::string adapter;
  /// Present: a chat. Else `prompts` has at least one.
  std::optional<Conversation> conversation;
  std::vector<RawPrompt> prompts;
  /// The field that a wrong prompt is blamed on: "messages", "prompt".
  std::string prompt_field;

  SamplingParams sampling;
  std::int32_t max_tokens = 0;  // 0: until the context ends or a stop
  std::vector<std::string> stop_strings;
  /// Choices for each prompt; choice c of prompt p has index p * num_choices + c in the answer.
  std::int32_t num_choices = 1;

  /// How long the model stays loaded once nobody uses it; negative: until its memory is needed.
  std::optional<Duration> keep_alive;

  /// Cached prefixes are shared only with requests of the same salt.
  std::string cache_salt;

  /// Text that the answer is expected to have in it; makes it come sooner where it does.
  std::optional<std::string> prediction;

  /// JSON schema that a chat's content is to match.
  std::optional<std::string> answer_schema;
  /// A chat's reasoning ends within so many tokens.
  std::optional<std::int32_t> thinking_budget;
  bool one_tool_call = false;  // the answer ends with its first complete call
  bool echo = false;           // the answer's text begins with the prompt's
  bool stream = false;
  bool include_usage = false;  // in a stream, as a last event
  /// Nothing is generated: the model is loaded or, with keep_alive 0, let go.
  bool load_only = false;

  /// What the request has that is understood and let be; told in a header of the answer.
  std::vector<std::string> ignored;
};

}  // namespace mlxd::api
