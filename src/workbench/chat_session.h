// A conversation with a loaded model: turns in, answers out piece by piece. The whole conversation is
// rendered by the chat template for each answer; a model without one completes the bare text of each message.
// One owner; `ask` blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "generation/generation_event.h"
#include "generation/message.h"
#include "generation/sampling_params.h"
#include "runtime/model_host.h"

namespace mlxd {

struct ChatSettings {
  SamplingParams sampling;        // no seed: a new one for each answer
  std::int32_t max_tokens = 0;    // 0: until the model ends or the context is full
  std::string system;             // empty: none (a template may have its own)
  std::vector<std::string> stop;  // strings that end an answer
};

class ChatSession {
 public:
  /// `model` must outlive this. `adapter` is one of the model's, or null.
  explicit ChatSession(const ModelHost& model, AdapterLeasePtr adapter = nullptr)
      : model_(model), adapter_(std::move(adapter)) {}

  /// Takes pieces of the answer as they come; `keep_going` is asked several times a second.
  struct Listener {
    std::function<void(std::string_view)> on_text;
    std::function<void(std::string_view)> on_reasoning;  // or null
    std::function<bool()> keep_going;
    /// Told before the answer if the oldest messages had to be dropped to fit the context.
    std::function<void(std::size_t dropped_messages)> on_dropped;
  };
  struct Answer {
    std::string text;
    std::string reasoning;
    std::optional<FinishReason> finish;  // absent: stopped by the listener
    std::int32_t prompt_tokens = 0;
    std::int32_t completion_tokens = 0;
    double prefill_seconds = 0.0;  // until the first token
    double decode_seconds = 0.0;   // from the first token to the last
  };
  /// Adds a user's message and the model's answer to the conversation; a stopped answer counts as far as it
  /// came. On an error, or if nothing was answered, the conversation is as before.
  Result<Answer> ask(std::string message, const ChatSettings& settings, const Listener& listener);

  void clear() { turns_.clear(); }
  std::size_t num_messages() const { return turns_.size(); }

 private:
  struct Prompt {
    std::vector<TokenId> tokens;
    std::optional<ChatFormat::Prompt> chat;  // absent: the model has no template
    std::size_t dropped_messages = 0;
  };
  Result<Prompt> build_prompt(std::vector<Message>& turns, const ChatSettings& settings) const;
  Result<void> render(const std::vector<Message>& turns, const ChatSettings& settings, Prompt& prompt) const;

  const ModelHost& model_;
  AdapterLeasePtr adapter_;
  std::vector<Message> turns_;  // user and assistant by turns, beginning with the user
};

}  // namespace mlxd
