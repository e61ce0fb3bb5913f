#include "cli/chat_input.h"

#include <utility>

#include "cli/format.h"

namespace mlxd::cli {
namespace {

constexpr std::string_view kBlockMark = "\"\"\"";
constexpr std::string_view kSpace = " \t\r\n\v\f";

// The first word and what follows it.
std::pair<std::string_view, std::string_view> split_word(std::string_view text) {
  text = trim(text);
  const std::size_t end = text.find_first_of(kSpace);
  if (end == std::string_view::npos) return {text, {}};
  return {text.substr(0, end), trim(text.substr(end))};
}

std::string_view without_quotes(std::string_view text) {
  const bool quoted =
      text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front();
  return quoted ? text.substr(1, text.size() - 2) : text;
}

// Where a """ block may begin in the first line of an input.
std::size_t block_start(std::string_view line) {
  const std::size_t first = line.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return std::string_view::npos;
  if (line.substr(first).starts_with(kBlockMark)) return first;
  if (line[first] != '/') return std::string_view::npos;
  const auto [command, rest] = split_word(line);
  const auto [setting, value] = split_word(rest);
  if (to_lower(command) != "/set" || !value.starts_with(kBlockMark)) return std::string_view::npos;
  return static_cast<std::size_t>(value.data() - line.data());
}

}  // namespace

ChatInput parse_chat_input(std::string_view text) {
  const std::string_view plain = trim(text);
  if (plain.empty()) return {};
  if (plain.front() != '/') return {ChatInputKind::kMessage, {}, std::string(plain)};

  const auto [word, rest] = split_word(plain);
  const std::string command = to_lower(word);
  if (command == "/help" || command == "/?") return {ChatInputKind::kHelp, {}, {}};
  if (command == "/show") return {ChatInputKind::kShow, {}, {}};
  if (command == "/clear") return {ChatInputKind::kClear, {}, {}};
  if (command == "/bye" || command == "/exit" || command == "/quit") return {ChatInputKind::kBye, {}, {}};
  if (command == "/set") {
    const auto [name, value] = split_word(rest);
    return {ChatInputKind::kSet, std::string(name), std::string(without_quotes(value))};
  }
  return {ChatInputKind::kUnknown, std::string(word), {}};
}

bool LineCollector::add(std::string_view line) {
  if (!is_open_) {
    const std::size_t start = block_start(line);
    if (start == std::string_view::npos) {
      text_ = std::string(line);
      return true;
    }
    text_ = std::string(line.substr(0, start));
    line.remove_prefix(start + kBlockMark.size());
    is_open_ = true;
  } else {
    text_ += '\n';
  }
  const std::string_view end = line.substr(0, line.find_last_not_of(kSpace) + 1);
  if (!end.ends_with(kBlockMark)) {
    text_ += line;
    return false;
  }
  text_ += end.substr(0, end.size() - kBlockMark.size());
  is_open_ = false;
  return true;
}

std::string LineCollector::take() {
  is_open_ = false;
  return std::exchange(text_, {});
}

void LineCollector::clear() { take(); }

}  // namespace mlxd::cli
