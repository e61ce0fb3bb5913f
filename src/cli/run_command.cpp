#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "cli/chat_preferences.h"
#include "cli/chat_terminal.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/format.h"
#include "cli/line_editor.h"
#include "cli/model_loader.h"
#include "workbench/chat_session.h"
#include "workbench/model_facts.h"

namespace mlxd::cli {
namespace {

constexpr std::size_t kMaxInputBytes = std::size_t{64} << 20U;

Result<std::string> read_standard_input() {
  std::string text;
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t count = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count == 0) return text;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("cannot read standard input", errno);
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (text.size() > kMaxInputBytes)
      return Error(ErrorKind::kTooLarge, "standard input is over " + format_bytes(kMaxInputBytes));
  }
}

struct Request {
  std::string model;  // empty: the only or last used one
  std::string prompt;
};

// One word alone is a model, unless it has spaces and names no folder: then it is what to ask.
Request split_words(const RunOptions& options) {
  if (options.words.empty()) return {};
  if (options.words.size() > 1) return {options.words[0], options.words[1]};
  const std::string& word = options.words[0];
  std::error_code error;
  const bool is_text = word.find_first_of(" \n\t") != std::string::npos &&
                       !std::filesystem::is_directory(expand_home(word), error);
  return is_text ? Request{{}, word} : Request{word, {}};
}

Result<ChatPreferences> make_preferences(const RunOptions& options) {
  ChatPreferences preferences;
  for (const auto& [name, value] : options.chat_settings) TRY(apply_chat_setting(preferences, name, value));
  return preferences;
}

// The makers' recommendation first, what was asked for over it.
Result<ChatPreferences> add_recommendation(const RunOptions& options, const std::filesystem::path& folder) {
  ChatPreferences preferences;
  for (const auto& [name, value] : read_recommended_sampling(folder)) {
    // A recommendation out of our range is not the user's mistake: the default stays.
    const auto ignored = apply_chat_setting(preferences, name, value);
    static_cast<void>(ignored);
  }
  for (const auto& [name, value] : options.chat_settings) TRY(apply_chat_setting(preferences, name, value));
  return preferences;
}

Result<int> answer_once(const CommandContext& context, const ModelHost& model, AdapterLeasePtr adapter,
                        const ChatPreferences& preferences, std::string prompt) {
  Console& console = context.console;
  ChatSession session(model, std::move(adapter));
  bool ends_line = false;
  ChatSession::Listener listener;
  listener.keep_going = [&] { return console.out_ok(); };
  listener.on_text = [&](std::string_view piece) {
    const std::string text =
        console.out_is_terminal() ? without_control_characters(piece) : std::string(piece);
    if (text.empty()) return;
    ends_line = text.ends_with('\n');
    console.write(text);
  };
  // Standard output gets the answer only.
  listener.on_reasoning = [&](std::string_view piece) {
    console.write_error(console.styled_error(Style::kDim, without_control_characters(piece)));
  };
  const ChatSession::Answer answer = TRY(session.ask(std::move(prompt), preferences.answers, listener));
  if (!answer.reasoning.empty()) console.write_error("\n");
  if (!ends_line) console.write("\n");
  if (preferences.verbose)
    console.write_error("\n" +
                        console.styled_error(Style::kDim, describe_answer(answer, model.load_seconds())));
  return kExitOk;
}

Result<int> chat(const CommandContext& context, const ModelHost& model, AdapterLeasePtr adapter,
                 const std::string& model_name, ChatPreferences preferences) {
  TRY(context.state.ensure());
  auto editor = TRY(LineEditor::create(context.state.history_file()));
  ChatTerminal(context.console, model, std::move(adapter), model_name, std::move(preferences),
               std::move(editor))
      .run();
  return kExitOk;
}

}  // namespace

Result<int> run_command(const CommandContext& context, const RunOptions& options) {
  Console& console = context.console;
  const auto checked = make_preferences(options);
  const auto settings = resolve_settings(options.flags, context.state);
  if (!checked || !settings) {
    console.report_error(!checked ? checked.error().message : settings.error().message);
    return checked ? exit_code_of(settings.error()) : kExitUsage;
  }

  Request request = split_words(options);
  const bool interactive = request.prompt.empty() && console.in_is_terminal() && console.out_is_terminal();
  // The model first: a wrong name should not cost typing the prompt.
  const AdaptedModel adapted = TRY(choose_adapted_model(context, *settings, request.model));
  const FoundModel& model = adapted.model;
  if (!interactive && (!console.in_is_terminal() || request.prompt.empty())) {
    std::string input = TRY(read_standard_input());
    input.erase(input.find_last_not_of("\r\n") + 1);  // echo's newline; indentation at the front may matter
    if (trim(input).empty()) input.clear();
    if (!input.empty() && !request.prompt.empty()) request.prompt += "\n\n";
    request.prompt += input;
    if (request.prompt.empty())
      return invalid_argument("there is nothing to answer: standard input is empty", "prompt");
  }

  const auto host = TRY(load_model(context, model, *settings, {.adapters = adapted.places}));
  AdapterLeasePtr adapter;
  if (!adapted.adapter.empty()) adapter = TRY(host->adapters().acquire(adapted.adapter));
  ChatPreferences preferences = TRY(add_recommendation(options, model.path));
  const std::string remembered = model.source == ModelSource::kPath ? model.path.string() : model.name;
  if (const auto noted = context.state.remember_model(remembered); !noted)
    console.report_error(noted.error().message);  // the answer matters more
  if (host->chat_format() == nullptr)
    console.write_error("mlxd: " + model.name +
                        " has no chat template: each text is completed as it stands\n");
  if (interactive) return chat(context, *host, std::move(adapter), adapted.name(), std::move(preferences));
  return answer_once(context, *host, std::move(adapter), preferences, std::move(request.prompt));
}

}  // namespace mlxd::cli
