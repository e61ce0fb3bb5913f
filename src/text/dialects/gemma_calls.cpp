#include "text/dialects/gemma_calls.h"

#include <array>
#include <string>

#include "text/dialects/json_scanner.h"

namespace mlxd::dialects {
namespace {

using Channel = OutputReader::Channel;

constexpr int kGemmaCallsMaxDepth = 64;
constexpr std::size_t kGemmaCallsMaxNameBytes = 256;

Task gemma_value(OutputReader& reader, std::string_view quote, ValueTypes types, int depth);

/// A key and the colon after it; quoted or bare.
Task gemma_key(OutputReader& reader, std::string_view quote, std::string& key) {
  bool ok = false;
  const std::array<std::string_view, 1> quotes{quote};
  static constexpr std::string_view kColons[] = {":"};
  int which = -1;
  key.clear();
  co_await reader.one_of(quotes, which);
  if (which == 0) {
    ok = co_await reader.text_until(quotes, which, Channel::kKept, &key);
    if (!ok) co_return false;
    co_await reader.skip_space();
    co_return co_await reader.literal(":");
  }
  ok = co_await reader.text_until(kColons, which, Channel::kKept, &key);
  if (!ok) co_return false;
  co_return !key.empty() && key.size() <= kGemmaCallsMaxNameBytes;
}

/// Members or items up to the closing bracket; the opening one has been taken. `tool`: whose parameters the
/// members are, or empty.
Task gemma_items(OutputReader& reader, std::string_view quote, char close, std::string_view tool, int depth) {
  bool ok = false;
  const bool is_object = close == '}';
  const std::string owner(tool);
  std::string key;
  std::string member;
  char c = 0;
  reader.arguments(is_object ? "{" : "[");
  for (bool first = true;; first = false) {
    co_await reader.skip_space();
    ok = co_await reader.peek(c);
    if (!ok) co_return false;
    if (!first && c == ',') {
      reader.source().take(1);
      co_await reader.skip_space();
      ok = co_await reader.peek(c);
      if (!ok) co_return false;
    } else if (!first && c != close) {
      co_return false;
    }
    if (c == close) break;
    if (!first) reader.arguments(", ");
    ValueTypes types = kAnyType;
    if (is_object) {
      ok = co_await gemma_key(reader, quote, key);
      if (!ok) co_return false;
      if (!owner.empty()) types = reader.schemas().types(owner, key);
      member.clear();
      append_quoted(member, key);
      member += ": ";
      reader.arguments(member);
    }
    ok = co_await gemma_value(reader, quote, types, depth + 1);
    if (!ok) co_return false;
  }
  reader.source().take(1);
  reader.arguments(is_object ? "}" : "]");
  co_return true;
}

Task gemma_value(OutputReader& reader, std::string_view quote, ValueTypes types, int depth) {
  bool ok = false;
  if (depth > kGemmaCallsMaxDepth) co_return false;
  const std::array<std::string_view, 3> openings{quote, "{", "["};
  const std::array<std::string_view, 1> quotes{quote};
  int which = -1;
  char c = 0;
  co_await reader.skip_space();
  co_await reader.one_of(openings, which);
  if (which == 0) {
    reader.arguments("\"");
    ok = co_await reader.text_until(quotes, which, Channel::kJsonString);
    if (!ok) co_return false;
    reader.arguments("\"");
    co_return true;
  }
  if (which > 0) co_return co_await gemma_items(reader, quote, which == 1 ? '}' : ']', {}, depth);
  std::string bare;
  for (;;) {
    ok = co_await reader.peek(c);
    if (!ok) co_return false;
    if (c == ',' || c == '}' || c == ']') break;
    bare += c;
    reader.source().take(1);
  }
  if (bare.empty()) co_return false;
  reader.arguments(typed_json(bare, types));
  co_return true;
}

}  // namespace

Task gemma_call(OutputReader& reader, std::string_view quote, std::string_view closer) {
  bool ok = false;
  static constexpr std::string_view kNameEnds[] = {"{"};
  const std::array<std::string_view, 1> closers{closer};
  int which = -1;
  std::string name;
  co_await reader.skip_space();
  ok = co_await reader.literal("call:");
  if (!ok) co_return false;
  ok = co_await reader.text_until(kNameEnds, which, Channel::kKept, &name);
  if (!ok) co_return false;
  while (!name.empty() && name.back() == ' ') name.pop_back();
  if (name.empty() || name.size() > kGemmaCallsMaxNameBytes) co_return false;
  reader.begin_call(name);
  ok = co_await gemma_items(reader, quote, '}', name, 0);
  if (!ok) co_return false;
  reader.end_call();
  co_await reader.one_of(closers, which);
  co_return true;
}

}  // namespace mlxd::dialects
