#include "cli/chat_terminal.h"

#include <utility>

#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/table.h"

namespace mlxd::cli {
namespace {

std::string rate(std::int32_t tokens, double seconds) {
  if (tokens <= 0 || !(seconds > 0.0)) return {};
  return ", " + format_number(static_cast<double>(tokens) / seconds, 1) + " tokens/s";
}

std::string counted(std::int32_t tokens) {
  return format_grouped(tokens) + (tokens == 1 ? " token" : " tokens");
}

}  // namespace

std::string describe_answer(const ChatSession::Answer& answer, double load_seconds) {
  // The first token belongs to the prompt's time: the rest came in the decoding time.
  return "load    " + format_duration(load_seconds) + "\n" + "prompt  " + counted(answer.prompt_tokens) +
         " in " + format_duration(answer.prefill_seconds) +
         rate(answer.prompt_tokens, answer.prefill_seconds) + "\n" + "answer  " +
         counted(answer.completion_tokens) + " in " +
         format_duration(answer.prefill_seconds + answer.decode_seconds) +
         rate(answer.completion_tokens - 1, answer.decode_seconds) + "\n";
}

ChatTerminal::ChatTerminal(Console& console, const ModelHost& model, AdapterLeasePtr adapter,
                           std::string model_name, ChatPreferences preferences,
                           std::unique_ptr<LineEditor> editor)
    : console_(console),
      model_(model),
      model_name_(std::move(model_name)),
      preferences_(std::move(preferences)),
      editor_(std::move(editor)),
      session_(model, std::move(adapter)) {}

void ChatTerminal::run() {
  console_.write_line(console_.styled(Style::kBold, model_name_) +
                      console_.styled(Style::kDim, "  /help for commands, /bye or Ctrl-D to leave"));
  LineCollector lines;
  while (console_.out_ok()) {
    LineEditor::Line line = editor_->read(lines.is_open() ? "... " : ">>> ");
    if (line.outcome == LineEditor::Outcome::kEnd) {
      console_.write_line("");
      return;
    }
    if (line.outcome == LineEditor::Outcome::kInterrupted) {
      if (!lines.is_open() && line.text.empty())
        console_.write_line(console_.styled(Style::kDim, "/bye or Ctrl-D to leave"));
      lines.clear();
      continue;
    }
    if (!lines.add(line.text)) continue;
    const std::string text = lines.take();
    // A block is remembered with its marks, so that it is one again when it is sent again.
    const bool is_block = text.find('\n') != std::string::npos && line.text.find('\n') == std::string::npos;
    editor_->remember(is_block && !text.starts_with('/') ? "\"\"\"" + text + "\"\"\"" : text);
    if (!handle(parse_chat_input(text))) return;
  }
}

bool ChatTerminal::handle(const ChatInput& input) {
  switch (input.kind) {
    case ChatInputKind::kNothing:
      return true;
    case ChatInputKind::kMessage:
      answer(input.text);
      return true;
    case ChatInputKind::kHelp:
      show_help();
      return true;
    case ChatInputKind::kSet:
      set(input.name, input.text);
      return true;
    case ChatInputKind::kShow:
      show_state();
      return true;
    case ChatInputKind::kClear:
      session_.clear();
      console_.write_line("the conversation is forgotten");
      return true;
    case ChatInputKind::kBye:
      return false;
    case ChatInputKind::kUnknown:
      console_.write_line("there is no command '" + without_control_characters(input.name) +
                          "': /help shows them");
      return true;
  }
  return true;
}

void ChatTerminal::answer(const std::string& message) {
  const InterruptFlag interrupt;
  bool ends_line = true;
  bool has_thought = false;
  ChatSession::Listener listener;
  listener.keep_going = [&] { return !interrupt.raised() && console_.out_ok(); };
  listener.on_text = [&](std::string_view piece) {
    const std::string text = without_control_characters(piece);
    if (text.empty()) return;
    if (has_thought) console_.write(ends_line ? "\n" : "\n\n");
    has_thought = false;
    ends_line = text.ends_with('\n');
    console_.write(text);
  };
  listener.on_reasoning = [&](std::string_view piece) {
    const std::string text = without_control_characters(piece);
    if (text.empty()) return;
    has_thought = true;
    ends_line = text.ends_with('\n');
    console_.write(console_.styled(Style::kDim, text));
  };
  listener.on_dropped = [&](std::size_t dropped) {
    console_.write_line(console_.styled(
        Style::kDim,
        "(the context is full: the oldest " + std::to_string(dropped) + " messages were dropped)"));
  };
  const auto answer = session_.ask(message, preferences_.answers, listener);
  if (!ends_line) console_.write("\n");
  if (!answer) {
    console_.report_error(answer.error().message);
    return;
  }
  if (!answer->finish)
    console_.write_line(console_.styled(Style::kDim, "(stopped)"));
  else if (answer->finish == FinishReason::kLength)
    console_.write_line(console_.styled(
        Style::kDim,
        preferences_.answers.max_tokens > 0 && answer->completion_tokens >= preferences_.answers.max_tokens
            ? "(ended by max_tokens)"
            : "(ended by the length of the context)"));
  if (preferences_.verbose)
    console_.write("\n" + console_.styled(Style::kDim, describe_answer(*answer, model_.load_seconds())));
  console_.write("\n");
}

void ChatTerminal::set(const std::string& name, const std::string& value) {
  if (!name.empty()) {
    if (const auto applied = apply_chat_setting(preferences_, name, value); !applied)
      console_.report_error(applied.error().message);
    else
      console_.write_line(name + " is " + show_chat_setting(preferences_, name));
    return;
  }
  Table table({{"SETTING"}, {"VALUE"}, {"MEANING"}});
  for (const ChatSettingInfo& info : chat_setting_infos())
    table.add_row(
        {std::string(info.name), show_chat_setting(preferences_, info.name), std::string(info.help)});
  console_.write(table.to_string());
}

void ChatTerminal::show_help() {
  console_.write(
      "/set                 all settings and their values\n"
      "/set NAME VALUE      change one, e.g. /set temperature 0.2, /set system You are brief.\n"
      "/show                the model and the state of the conversation\n"
      "/clear               forget the conversation\n"
      "/bye                 leave (or Ctrl-D)\n"
      "\"\"\"                  begin and end a text of several lines\n"
      "Ctrl-C               stop an answer, or drop the line being typed\n"
      "Up, Down, Ctrl-R     earlier messages\n");
}

void ChatTerminal::show_state() {
  const ModelSpec& spec = model_.spec();
  console_.write("model         " + model_name_ + "\n" +                                            //
                 "folder        " + model_.path().string() + "\n" +                                 //
                 "architecture  " + spec.model_type + "\n" +                                        //
                 "parameters    " + format_count(model_.num_parameters()) + "\n" +                  //
                 "context       " + format_grouped(model_.limits().context_tokens) + " tokens\n" +  //
                 "computed by   " + model_.engine().backend_info().name + "\n" +                    //
                 "conversation  " + std::to_string(session_.num_messages()) + " messages\n");
  for (const ChatSettingInfo& info : chat_setting_infos()) {
    const std::string padding(info.name.size() < 20 ? 20 - info.name.size() : 1, ' ');
    console_.write("  " + std::string(info.name) + padding + show_chat_setting(preferences_, info.name) +
                   "\n");
  }
}

}  // namespace mlxd::cli
