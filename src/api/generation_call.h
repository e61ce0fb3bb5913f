// One API request as every dialect decodes it: what to generate from, how, and in which form the answer goes
// back. Values; nothing here is checked against a model yet.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "generation/conversation.h"
#include "generation/grammar.h"
#include "generation/sampling_params.h"
#include "generation/token.h"

namespace mlxd::api {

/// Text to tokenize as it stands, or tokens.
using RawPrompt = std::variant<std::string, std::vector<TokenId>>;

/// How a client asks the model to reason where it cannot know what the model has a say in; made the call's
/// own once the model is known, what it cannot do being let be (server/reasoning_fit.h).
struct ReasoningWish {
  std::optional<bool> thinks;       // absent: only if it cannot do otherwise
  std::string effort = {};          // as Conversation::reasoning_effort; empty: the model's own
  std::string thinking_field = {};  // what the dialect calls them, for those that are told as ignored
  std::string effort_field = {};
};

/// What of its tokens a call wants that generates nothing.
struct TokenView {
  bool special_tokens = true;  // that the tokenizer adds to a text, or leaves out of one
  bool pieces = false;         // each token's text
};

/// What a dialect's own encoder needs of the request; each dialect that needs some derives its own.
struct CallDetails {
  virtual ~CallDetails() = default;
};

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

  /// What a chat's answer goes on from; not repeated in it.
  std::string answer_beginning;

  /// Text that the answer is expected to have in it; makes it come sooner where it does.
  std::optional<std::string> prediction;

  /// What a chat's content is to match, and the field that a wrong wish is blamed on.
  std::optional<Grammar> answer_grammar;
  std::string grammar_field = "response_format";
  std::optional<ReasoningWish> reasoning_wish;
  /// A chat's reasoning ends within so many tokens.
  std::optional<std::int32_t> thinking_budget;
  TokenView token_view;
  std::int32_t max_tool_calls = 0;  // the answer ends with so many complete calls; 0: no bound
  void limit_tool_calls(std::int32_t most) {
    max_tool_calls = max_tool_calls == 0 ? most : std::min(max_tool_calls, most);
  }
  bool echo = false;        // the answer's text begins with the prompt's
  bool echo_alone = false;  // … and nothing is generated
  /// With the prompt's text come its tokens and their log-probabilities.
  bool scores_prompt() const { return echo && sampling.logprobs; }
  bool hides_reasoning = false;  // the answer does not show what was thought
  /// What is generated stands between each prompt, which is a text, and this.
  std::optional<std::string> suffix;
  bool stream = false;
  bool include_usage = false;  // in a stream, as a last event
  /// Nothing is generated: the model is loaded or, with keep_alive 0, let go.
  bool load_only = false;

  /// A chat that does not fit the context begins later: its oldest turns are left out.
  bool drop_oldest = false;

  /// Null, or the dialect's own.
  std::shared_ptr<CallDetails> details;

  /// What the request has that is let be: understood, or unknown where such fields are let through; told in a
  /// header of the answer.
  std::vector<std::string> ignored;
};

}  // namespace mlxd::api
