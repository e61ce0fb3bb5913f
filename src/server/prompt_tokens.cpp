#include "server/prompt_tokens.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "text/fill_in_middle.h"

namespace mlxd {
namespace {

// A token stands for some bytes, not for any number of them.
constexpr std::size_t kMostBytesPerToken = 512;

Error too_long(const std::string& what_it_has, std::size_t context_tokens, const std::string& field) {
  return {ErrorKind::kTooLarge,
          "the prompt has " + what_it_has + ", the model's context holds " + std::to_string(context_tokens) +
              " tokens with the answer: shorten the prompt",
          field};
}

// A text far too long for the context is refused before all of it is tokenized, which takes a second and
// 100 MB for each megabyte and holds up whoever waits for a text worker.
Result<std::vector<TokenId>> tokenize(const ServedModel& model, std::string_view text,
                                      bool add_special_tokens, const std::string& field) {
  const Tokenizer& tokenizer = *model.tokenizer;
  const auto context = static_cast<std::size_t>(model.limits.context_tokens);
  if (text.size() / kMostBytesPerToken > context)
    return too_long(std::to_string(text.size()) + " bytes", context, field);
  // Text usually has four bytes a token. A beginning may end in tokens that the whole has not, but in few.
  constexpr std::size_t kTriedBytesPerToken = 16;
  if (text.size() / kTriedBytesPerToken > context) {
    std::string_view beginning = text.substr(0, context * kTriedBytesPerToken);
    while (!beginning.empty() && (static_cast<unsigned char>(text[beginning.size()]) & 0xC0U) == 0x80U)
      beginning.remove_suffix(1);
    const auto tried = tokenizer.encode(beginning, add_special_tokens);
    if (tried.ok() && tried->size() > 2 * context)
      return too_long(std::to_string(text.size()) + " bytes, of which the first " +
                          std::to_string(beginning.size()) + " are " + std::to_string(tried->size()) +
                          " tokens",
                      context, field);
  }
  auto tokens = tokenizer.encode(text, add_special_tokens);
  if (!tokens.ok()) return Error(tokens.error().kind, tokens.error().message, field);
  return tokens;
}

struct TokenizedChat {
  ChatFormat::Prompt prompt;
  std::vector<TokenId> tokens;
};

/// `conversation`: the call's, or what is left of it.
Result<TokenizedChat> tokenize_chat(const Conversation& conversation, const api::GenerationCall& call,
                                    const ServedModel& model) {
  auto prompt = model.chat_format->write(conversation);
  if (!prompt.ok()) {
    Error error = prompt.take_error();
    if (error.field == "messages") error.field = call.prompt_field;
    return error;
  }
  if (!call.answer_beginning.empty()) {
    if (prompt->start != dialects::OutputParser::Start::kContent)
      return Error(
          ErrorKind::kUnsupported,
          "model '" + model.name + "' begins its answers by reasoning: an answer's beginning cannot be given",
          call.prompt_field);
    prompt->text += call.answer_beginning;
  }
  // The template has written the special tokens itself.
  TokenizedChat chat{.prompt = prompt.take_value(), .tokens = {}};
  chat.tokens = TRY(tokenize(model, chat.prompt.text, false, call.prompt_field));
  chat.prompt.text.clear();
  return chat;
}

// Begins the conversation at the first turn from which on it fits, with its system messages. Its last turn
// stays.
Result<TokenizedChat> tokenize_latest(const api::GenerationCall& call, const ServedModel& model,
                                      std::size_t& num_dropped) {
  const std::vector<Message>& messages = call.conversation->messages;
  std::size_t begin = 0;
  while (begin < messages.size() && messages[begin].role == Role::kSystem) ++begin;
  std::vector<std::size_t> turns;
  for (std::size_t i = begin + 1; i < messages.size(); ++i) {
    if (messages[i].role == Role::kUser) turns.push_back(i);
  }
  const auto context = static_cast<std::size_t>(model.limits.context_tokens);
  // Some of the context is the answer's.
  constexpr std::size_t kAnswerPart = 8;
  std::size_t room = context / kAnswerPart;
  if (call.max_tokens > 0) room = std::min(room, static_cast<std::size_t>(call.max_tokens));
  const auto from = [&](std::size_t turn) {
    Conversation later = *call.conversation;
    later.messages.erase(later.messages.begin() + static_cast<std::ptrdiff_t>(begin),
                         later.messages.begin() + static_cast<std::ptrdiff_t>(turn));
    return tokenize_chat(later, call, model);
  };
  // The later the beginning the shorter.
  std::size_t low = 0;
  std::size_t high = turns.size();
  std::optional<TokenizedChat> best;
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    auto chat = from(turns[middle]);
    if (!chat.ok() && chat.error().kind != ErrorKind::kTooLarge) return chat.take_error();
    if (chat.ok() && chat->tokens.size() + room <= context) {
      best = chat.take_value();
      num_dropped = turns[middle] - begin;
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  if (best) return std::move(*best);
  return too_long("too many tokens even in its last turn", context, call.prompt_field);
}

}  // namespace

Result<TokenizedPrompts> tokenize_prompts(const api::GenerationCall& call, const ServedModel& model,
                                          PromptSize size) {
  TokenizedPrompts result;
  std::vector<std::vector<TokenId>>& prompts = result.prompts;
  const auto context = static_cast<std::size_t>(model.limits.context_tokens);
  for (const api::RawPrompt& prompt : call.prompts) {
    if (const auto* tokens = std::get_if<std::vector<TokenId>>(&prompt)) {
      prompts.push_back(*tokens);
    } else if (call.suffix) {
      const auto& text = std::get<std::string>(prompt);
      if (text.size() + call.suffix->size() > context * kMostBytesPerToken)
        return too_long(std::to_string(text.size() + call.suffix->size()) + " bytes", context,
                        call.prompt_field);
      FillInMiddle filled = TRY(fill_in_middle(*model.tokenizer, text, *call.suffix));
      prompts.push_back(std::move(filled.prompt));
      result.end_tokens = std::move(filled.end_tokens);
    } else {
      prompts.push_back(TRY(
          tokenize(model, std::get<std::string>(prompt), call.token_view.special_tokens, call.prompt_field)));
    }
    // Before any other is tokenized or begun.
    if (size == PromptSize::kFits && prompts.back().size() + (call.echo_alone ? 0 : 1) > context)
      return too_long(std::to_string(prompts.back().size()) + " tokens", context, call.prompt_field);
  }
  if (!call.conversation) return result;
  if (model.chat_format == nullptr)
    return Error(ErrorKind::kInvalidArgument,
                 "model '" + model.name + "' has no chat template: use /v1/completions", "model");
  auto chat = tokenize_chat(*call.conversation, call, model);
  const bool is_too_long =
      chat.ok() ? chat->tokens.size() >= context : chat.error().kind == ErrorKind::kTooLarge;
  if (is_too_long && call.drop_oldest) chat = tokenize_latest(call, model, result.num_dropped_messages);
  if (!chat.ok()) return chat.take_error();
  prompts.push_back(std::move(chat->tokens));
  result.chat = std::move(chat->prompt);
  return result;
}

}  // namespace mlxd
