#include "workbench/chat_session.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "runtime/text_stream.h"

namespace mlxd {
namespace {

constexpr std::chrono::milliseconds kListenInterval{50};
constexpr std::int32_t kWantedAnswerTokens = 1024;  // room to keep for an answer of no stated length

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Result<ChatSession::Answer> ChatSession::ask(std::string message, const ChatSettings& settings,
                                             const Listener& listener) {
  std::vector<Message> turns = turns_;
  turns.push_back({.role = Role::kUser, .content = std::move(message)});
  Prompt prompt = TRY(build_prompt(turns, settings));
  if (prompt.dropped_messages > 0 && listener.on_dropped) listener.on_dropped(prompt.dropped_messages);

  Answer answer;
  answer.prompt_tokens = static_cast<std::int32_t>(prompt.tokens.size());
  GenerationRequest::Fields fields;
  fields.prompt = std::move(prompt.tokens);
  fields.sampling = settings.sampling;
  fields.max_tokens = settings.max_tokens;
  fields.stop_tokens = model_.eos_tokens();
  fields.stop_strings = settings.stop;
  fields.adapter = adapter_;
  GenerationRequest request = TRY(GenerationRequest::create(std::move(fields), model_.limits()));
  TextStream::Options options{.stop_strings = settings.stop, .stop_tokens = model_.eos_tokens()};
  if (prompt.chat) options.parser.emplace(prompt.chat->format, std::span<const Tool>(), prompt.chat->start);
  TextStream text(model_.tokenizer(), std::move(options));

  const TimePoint begin = Clock::real().now();
  GenerationStream stream = TRY(model_.engine().submit(std::move(request), nullptr));
  TimePoint first{};
  TimePoint last{};
  bool is_open = true;
  while (is_open && !answer.finish && (!listener.keep_going || listener.keep_going())) {
    if (!stream.wait(kListenInterval)) continue;
    std::vector<TokenEvent> events;
    is_open = stream.take_events(events);
    if (events.empty()) continue;
    last = Clock::real().now();
    if (first == TimePoint{}) first = last;
    const auto piece = text.push(std::move(events));
    if (!piece) continue;
    if (piece->error) return *piece->error;
    for (const AnswerPiece& part : piece->pieces) {
      if (part.kind == AnswerPiece::Kind::kReasoning) {
        answer.reasoning += part.text;
        if (listener.on_reasoning) listener.on_reasoning(part.text);
      } else {
        answer.text += part.text;
        listener.on_text(part.text);
      }
    }
    answer.finish = piece->finish;
  }
  if (!is_open && !answer.finish) return Error(ErrorKind::kInternal, "the answer ended without a reason");

  answer.completion_tokens = text.completion_tokens();
  if (first != TimePoint{}) {
    answer.prefill_seconds = seconds_between(begin, first);
    answer.decode_seconds = seconds_between(first, last);
  }
  if (!answer.text.empty()) {
    turns.push_back({.role = Role::kAssistant, .content = answer.text, .reasoning = answer.reasoning});
    turns_ = std::move(turns);
  }
  return answer;
}

Result<ChatSession::Prompt> ChatSession::build_prompt(std::vector<Message>& turns,
                                                      const ChatSettings& settings) const {
  const std::int32_t context = model_.limits().context_tokens;
  const std::int32_t wanted = settings.max_tokens > 0 ? settings.max_tokens : kWantedAnswerTokens;
  const std::int32_t room = std::min(wanted, context / 4);
  Prompt prompt;
  TRY(render(turns, settings, prompt));
  while (static_cast<std::int64_t>(prompt.tokens.size()) + room > context && turns.size() > 2) {
    turns.erase(turns.begin(),
                turns.begin() + 2);  // a question and its answer, so that the roles still alternate
    prompt.dropped_messages += 2;
    TRY(render(turns, settings, prompt));
  }
  return prompt;
}

Result<void> ChatSession::render(const std::vector<Message>& turns, const ChatSettings& settings,
                                 Prompt& prompt) const {
  const ChatFormat* chat_format = model_.chat_format();
  if (chat_format == nullptr) {
    prompt.tokens = TRY(model_.tokenizer().encode(turns.back().content, true));
    return {};
  }
  Conversation conversation;
  if (!settings.system.empty())
    conversation.messages.push_back({.role = Role::kSystem, .content = settings.system});
  conversation.messages.insert(conversation.messages.end(), turns.begin(), turns.end());
  prompt.chat = TRY(chat_format->write(conversation));
  prompt.tokens = TRY(model_.tokenizer().encode(prompt.chat->text, false));
  return {};
}

}  // namespace mlxd
