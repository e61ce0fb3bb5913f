// GCC 12 lays out a coroutine's frame wrongly where an await stands in the condition of an if or a while:
// await into a variable, here and in every dialect.
#include "text/dialects/output_reader.h"

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "text/dialects/json_scanner.h"

namespace mlxd::dialects {

std::size_t partial_suffix(std::string_view text, OutputReader::Words words) {
  std::size_t longest = 0;
  for (const std::string_view word : words) {
    for (std::size_t size = std::min(word.size() - 1, text.size()); size > longest; --size) {
      if (text.ends_with(word.substr(0, size))) {
        longest = size;
        break;
      }
    }
  }
  return longest;
}

// Nothing is taken of what only begins like it: where reading stops must not depend on how the text is cut.
Task OutputReader::literal(std::string_view text) {
  for (;;) {
    const std::string_view rest = source_.rest();
    if (rest.starts_with(text)) {
      source_.take(text.size());
      co_return true;
    }
    if (!text.starts_with(rest)) co_return false;
    if (source_.closed()) {
      source_.run_out();
      co_return false;
    }
    co_await source_.more(rest.size() + 1);
  }
}

Task OutputReader::one_of(Words words, int& which) {
  for (;;) {
    const std::string_view rest = source_.rest();
    which = -1;
    std::size_t size = 0;
    bool may_come = false;
    for (std::size_t i = 0; i < words.size(); ++i) {
      const std::string_view word = words[i];
      if (rest.starts_with(word) && word.size() > size) {
        which = static_cast<int>(i);
        size = word.size();
      }
      may_come = may_come || (word.size() > rest.size() && word.starts_with(rest));
    }
    if (!may_come || source_.closed()) {
      if (may_come) source_.run_out();
      // The beginning of a mark among calls is no text either.
      if (may_come && which < 0 && cut_off_ && in_calls_) size = rest.size();
      source_.take(size);
      co_return true;
    }
    co_await source_.more(rest.size() + 1);
  }
}

Task OutputReader::skip_space() {
  bool ok = false;
  for (;;) {
    const std::string_view rest = source_.rest();
    const std::size_t count = std::min(rest.find_first_not_of(" \t\r\n"), rest.size());
    const bool ended = count < rest.size();
    source_.take(count);
    if (ended) co_return true;
    ok = co_await source_.more(1);
    if (!ok) co_return true;
  }
}

Task OutputReader::peek(char& c) {
  bool ok = false;
  ok = co_await source_.more(1);
  if (!ok) co_return false;
  c = source_.rest().front();
  co_return true;
}

Task OutputReader::text_until(Words ends, int& which, Channel channel, std::string* into) {
  which = -1;
  for (;;) {
    const std::string_view rest = source_.rest();
    std::size_t found = std::string_view::npos;
    std::size_t found_size = 0;
    for (std::size_t i = 0; i < ends.size(); ++i) {
      const std::size_t at = rest.find(ends[i]);
      if (at > found || (at == found && ends[i].size() <= found_size) || at == std::string_view::npos)
        continue;
      found = at;
      found_size = ends[i].size();
      which = static_cast<int>(i);
    }
    // An end that began before the one found, or with it and is longer, would come first.
    const std::size_t safe = rest.size() - (source_.closed() ? 0 : partial_suffix(rest, ends));
    if (found < safe) {
      say(channel, rest.substr(0, found), into);
      source_.take(found + found_size);
      co_return true;
    }
    which = -1;
    say(channel, rest.substr(0, safe), into);
    source_.take(safe);
    if (source_.closed()) {
      source_.run_out();
      co_return false;
    }
    co_await source_.more(source_.rest().size() + 1);
  }
}

Task OutputReader::json_value(Channel channel, std::string* into) {
  bool ok = false;
  JsonScanner scanner;
  std::string text;
  for (;;) {
    text.clear();
    std::size_t count = 0;
    JsonScanner::Step step = JsonScanner::Step::kTaken;
    for (const char c : source_.rest()) {
      step = scanner.step(c, text);
      if (step != JsonScanner::Step::kTaken) break;
      ++count;
      if (scanner.complete()) break;
    }
    source_.take(count);
    say(channel, text, into);
    if (step == JsonScanner::Step::kWrong) co_return false;
    if (step == JsonScanner::Step::kEnded || scanner.complete()) co_return true;
    ok = co_await source_.more(1);
    if (!ok) co_return scanner.complete_at_end();
  }
}

Task OutputReader::json_string(std::string& into) {
  bool ok = false;
  char c = 0;
  ok = co_await peek(c);
  if (!ok) co_return false;
  if (c != '"') co_return false;
  std::string quoted;
  ok = co_await json_value(Channel::kKept, &quoted);
  if (!ok) co_return false;
  boost::json::error_code code;
  const boost::json::value value = boost::json::parse(quoted, code);
  if (code || !value.is_string()) co_return false;
  into = std::string(value.get_string());
  co_return true;
}

void OutputReader::say(Channel channel, std::string_view text, std::string* into) {
  using Kind = AnswerPiece::Kind;
  if (text.empty()) return;
  switch (channel) {
    case Channel::kContent:
      append_piece(pieces_, {.kind = Kind::kContent, .text = std::string(text)});
      break;
    case Channel::kReasoning:
      append_piece(pieces_, {.kind = Kind::kReasoning, .text = std::string(text)});
      break;
    case Channel::kArguments:
      append_piece(pieces_, {.kind = Kind::kCallArguments, .text = std::string(text), .call = num_calls_});
      break;
    case Channel::kJsonString: {
      std::string escaped;
      append_escaped(escaped, text);
      append_piece(pieces_, {.kind = Kind::kCallArguments, .text = std::move(escaped), .call = num_calls_});
      break;
    }
    case Channel::kKept:
      into->append(text);
      break;
  }
}

void OutputReader::begin_call(std::string_view name, std::string_view id) {
  call_open_ = true;
  append_piece(pieces_, {.kind = AnswerPiece::Kind::kCallBegin,
                         .call = num_calls_,
                         .call_id = std::string(id),
                         .name = std::string(name)});
}

void OutputReader::end_call() {
  append_piece(pieces_, {.kind = AnswerPiece::Kind::kCallEnd, .call = num_calls_});
  ++num_calls_;
  ++num_complete_calls_;
  call_open_ = false;
  keep();
}

void OutputReader::give_up() {
  if (!cut_off_ || !source_.ran_out()) {
    abandon();
    return;
  }
  source_.let_go();
  source_.take(source_.rest().size());
  if (!call_open_) return;
  append_piece(pieces_, {.kind = AnswerPiece::Kind::kCallCut, .call = num_calls_});
  ++num_calls_;
  call_open_ = false;
}

void OutputReader::abandon() {
  const std::string text = kept_before_ + std::string(source_.kept());
  source_.let_go();
  if (call_open_) {
    append_piece(pieces_, {.kind = AnswerPiece::Kind::kCallBroken, .text = text, .call = num_calls_});
    ++num_calls_;
    call_open_ = false;
  } else {
    say(Channel::kContent, text);
  }
}

}  // namespace mlxd::dialects
