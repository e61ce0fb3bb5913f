#include "server/prompt_tokens.h"

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace mlxd {
namespace {

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
  // A token stands for some bytes, not for any number of them.
  constexpr std::size_t kMostBytesPerToken = 512;
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

}  // namespace

Result<TokenizedPrompts> tokenize_prompts(const api::GenerationCall& call, const ServedModel& model,
                                          PromptSize size) {
  TokenizedPrompts result;
  std::vector<std::vector<TokenId>>& prompts = result.prompts;
  const auto context = static_cast<std::size_t>(model.limits.context_tokens);
  for (const api::RawPrompt& prompt : call.prompts) {
    if (const auto* tokens = std::get_if<std::vector<TokenId>>(&prompt))
      prompts.push_back(*tokens);
    else
      prompts.push_back(TRY(
          tokenize(model, std::get<std::string>(prompt), call.token_view.special_tokens, call.prompt_field)));
    // Before any other is tokenized or begun.
    if (size == PromptSize::kFits && prompts.back().size() >= context)
      return too_long(std::to_string(prompts.back().size()) + " tokens", context, call.prompt_field);
  }
  if (!call.conversation) return result;
  if (model.chat_format == nullptr)
    return Error(ErrorKind::kInvalidArgument,
                 "model '" + model.name + "' has no chat template: use /v1/completions", "model");
  auto prompt = model.chat_format->write(*call.conversation);
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
  prompts.push_back(TRY(tokenize(model, prompt->text, false, call.prompt_field)));
  result.chat = prompt.take_value();
  result.chat->text.clear();
  return result;
}

}  // namespace mlxd
