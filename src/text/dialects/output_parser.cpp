#include "text/dialects/output_parser.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "text/dialects/harmony.h"

namespace mlxd::dialects {
namespace {

using Channel = OutputReader::Channel;

/// White space between blocks that is held back to see what follows; more of it is text.
constexpr std::size_t kMaxLayoutBytes = 64;

std::size_t leading_space(std::string_view text) {
  const std::size_t count = text.find_first_not_of(" \t\r\n");
  return count == std::string_view::npos ? text.size() : count;
}

}  // namespace

struct OutputParser::Impl {
  Impl(const OutputFormat& given, std::span<const Tool> tools, Start start)
      : format(given), schemas(tools), reader(schemas) {
    if (tools.empty()) format.tools = nullptr;
    if (format.tools != nullptr) {
      for (const std::string_view opener : format.tools->openers) block_words.push_back(opener);
    }
    num_openers = block_words.size();
    if (!format.reasoning.open.empty()) block_words.push_back(format.reasoning.open);
    // In content the openers come first, so that an index means the same in both lists.
    for (std::size_t i = 0; i < num_openers; ++i) content_texts.emplace_back(block_words[i]);
    if (format.tools != nullptr && format.tools->opens_on_new_line) {
      for (std::size_t i = 0; i < num_openers; ++i) content_texts.push_back("\n" + content_texts[i]);
    }
    num_content_openers = content_texts.size();
    for (const std::string_view mark : format.layout) content_texts.emplace_back(mark);
    content_words.assign(content_texts.begin(), content_texts.end());
    if (!format.reasoning.close.empty()) {
      reasoning_end_text = "\n" + std::string(format.reasoning.close);
      reasoning_ends = {reasoning_end_text, format.reasoning.close};
    }
    root.emplace(format.is_harmony ? read_harmony(reader, in_reasoning) : run(start));
    root->start();
  }

  Task run(Start start);
  Task line_breaks(int most);
  Task reasoning(bool breaks_line);
  Task block_start(int& found);
  Task calls(int opener);

  OutputFormat format;
  ToolSchemas schemas;
  OutputReader reader;
  std::vector<std::string_view> block_words;  // openers, then the reasoning's
  std::size_t num_openers = 0;
  std::vector<std::string> content_texts;  // openers, the same on new lines, layout
  std::vector<std::string_view> content_words;
  std::size_t num_content_openers = 0;
  std::string reasoning_end_text;
  std::array<std::string_view, 2> reasoning_ends{};
  bool in_reasoning = false;
  bool has_content = false;  // or calls: nothing may come unmarked any more
  std::optional<Task> root;
};

Task OutputParser::Impl::line_breaks(int most) {
  bool ok = false;
  char c = 0;
  for (int i = 0; i < most; ++i) {
    ok = co_await reader.peek(c);
    if (!ok) co_return true;
    if (c != '\n') co_return true;
    reader.source().take(1);
  }
  co_return true;
}

Task OutputParser::Impl::reasoning(bool breaks_line) {
  int which = -1;
  in_reasoning = true;
  if (breaks_line) co_await line_breaks(1);
  const bool ended = co_await reader.text_until(reasoning_ends, which, Channel::kReasoning);
  in_reasoning = false;
  if (ended) co_await line_breaks(2);
  co_return ended;
}

// Where a block may begin: white space before it is layout, unless text follows. `found`: which of
// block_words came, or -1.
Task OutputParser::Impl::block_start(int& found) {
  bool ok = false;
  TextSource& source = reader.source();
  reader.keep();
  std::size_t space = 0;
  for (;;) {
    const std::size_t count = std::min(leading_space(source.rest()), kMaxLayoutBytes - space);
    const bool ended = count < source.rest().size();
    source.take(count);
    space += count;
    if (ended || space >= kMaxLayoutBytes) break;
    ok = co_await source.more(1);
    if (!ok) break;
  }
  found = -1;
  // After a call the beginning of another's mark is one.
  if (reader.num_complete_calls() > 0) reader.enter_calls();
  if (!block_words.empty()) co_await reader.one_of(block_words, found);
  reader.leave_calls();
  if (found >= 0) {
    // What opens calls that are none is text, and the white space before it.
    if (static_cast<std::size_t>(found) >= num_openers) reader.let_go();
    co_return true;
  }
  const bool at_end = source.closed() && source.rest().empty();
  if (at_end && reader.num_complete_calls() > 0) {
    reader.let_go();
    co_return true;
  }
  if (!has_content && !at_end && format.tools != nullptr && format.tools->read_unmarked != nullptr) {
    const std::int32_t before = reader.num_complete_calls();
    reader.enter_calls();
    const bool read = co_await format.tools->read_unmarked(reader);
    reader.leave_calls();
    has_content = reader.num_complete_calls() > before;
    if (read && has_content) {
      reader.let_go();
      co_return true;
    }
    // Without a mark it is a call only once its name is known, or after another.
    if (reader.call_open() || reader.recognized() || has_content) {
      reader.give_up();
      co_return true;
    }
  }
  reader.abandon();
  co_return true;
}

Task OutputParser::Impl::calls(int opener) {
  has_content = true;
  reader.enter_calls();
  const std::int32_t before = reader.num_complete_calls();
  const bool read = co_await format.tools->read(reader, opener);
  reader.leave_calls();
  const bool called = read && reader.num_complete_calls() > before;  // an empty list is none
  if (called)
    reader.let_go();
  else
    reader.give_up();
  co_return called;
}

Task OutputParser::Impl::run(Start start) {
  bool ok = false;
  int which = -1;
  if (start != Start::kContent && !format.reasoning.close.empty())
    co_await reasoning(start == Start::kReasoningLineBreak);
  bool at_block = true;
  for (;;) {
    if (at_block) {
      co_await block_start(which);
      at_block = which >= 0;
      if (which >= 0 && static_cast<std::size_t>(which) >= num_openers) {
        co_await reasoning(true);
        continue;
      }
      if (which >= 0) {
        at_block = co_await calls(which);
        continue;
      }
    }
    has_content = true;
    ok = co_await reader.text_until(content_words, which, Channel::kContent);
    if (!ok) co_return true;
    if (static_cast<std::size_t>(which) >= num_content_openers) continue;
    reader.keep(content_words[static_cast<std::size_t>(which)]);
    at_block = co_await calls(which % static_cast<int>(num_openers));
  }
}

OutputParser::OutputParser(const OutputFormat& format, std::span<const Tool> tools, Start start)
    : impl_(std::make_unique<Impl>(format, tools, start)) {}
OutputParser::OutputParser(OutputParser&&) noexcept = default;
OutputParser& OutputParser::operator=(OutputParser&&) noexcept = default;
OutputParser::~OutputParser() = default;

std::vector<AnswerPiece> OutputParser::push(std::string_view text) {
  impl_->reader.source().append(text);
  return impl_->reader.take_pieces();
}

std::vector<AnswerPiece> OutputParser::finish(bool cut_off) {
  if (cut_off) impl_->reader.cut_off();
  impl_->reader.source().close();
  return impl_->reader.take_pieces();
}

bool OutputParser::in_reasoning() const { return impl_->in_reasoning; }
bool OutputParser::takes_mark(std::string_view text) const {
  if (impl_->format.is_harmony || impl_->reader.in_calls()) return true;
  const auto concerns = [&](std::string_view word) {
    return !text.empty() && !word.empty() &&
           (word.find(text) != std::string_view::npos || text.find(word) != std::string_view::npos);
  };
  const auto& words = impl_->block_words;
  const auto& layout = impl_->format.layout;
  return concerns(impl_->format.reasoning.close) || std::any_of(words.begin(), words.end(), concerns) ||
         std::any_of(layout.begin(), layout.end(), concerns);
}
std::int32_t OutputParser::num_complete_calls() const { return impl_->reader.num_complete_calls(); }
std::size_t OutputParser::held_bytes() const { return impl_->reader.held_bytes(); }

}  // namespace mlxd::dialects
