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
  turns.push_back({Role::kUser, std::move(message), {}, {}});
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
  TextStream text(model_.tokenizer(), {settings.stop, model_.eos_tokens(), true, false});

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
    answer.text += piece->text;
    if (!piece->text.empty()) listener.on_text(piece->text);
    answer.finish = piece->finish;
  }
  if (!is_open && !answer.finish) return Error(ErrorKind::kInternal, "the answer ended without a reason");

  answer.completion_tokens = text.completion_tokens();
  if (first != TimePoint{}) {
    answer.prefill_seconds = seconds_between(begin, first);
    answer.decode_seconds = seconds_between(first, last);
  }
  if (!answer.text.empty()) {
    turns.push_back({Role::kAssistant, answer.text, {}, {}});
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
  prompt.tokens = TRY(render(turns, settings));
  while (static_cast<std::int64_t>(prompt.tokens.size()) + room > context && turns.size() > 2) {
    turns.erase(turns.begin(),
                turns.begin() + 2);  // a question and its answer, so that the roles still alternate
    prompt.dropped_messages += 2;
    prompt.tokens = TRY(render(turns, settings));
  }
  return prompt;
}

Result<std::vector<TokenId>> ChatSession::render(const std::vector<Message>& turns,
                                                 const ChatSettings& settings) const {
  const ChatTemplate* chat_template = model_.chat_template();
  if (chat_template == nullptr) return model_.tokenizer().encode(turns.back().content, true);
  std::vector<Message> messages;
  if (!settings.system.empty()) messages.push_back({Role::kSystem, settings.system, {}, {}});
  messages.insert(messages.end(), turns.begin(), turns.end());
  const std::string text = TRY(chat_template->render(messages, {}));
  return model_.tokenizer().encode(text, false);
}

}  // namespace mlxd
