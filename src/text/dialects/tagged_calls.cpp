#include "text/dialects/tagged_calls.h"

#include <array>
#include <string>

#include "text/dialects/json_scanner.h"

namespace mlxd::dialects {
namespace {

using Channel = OutputReader::Channel;

constexpr std::size_t kTaggedCallsMaxNameBytes = 256;

std::string trimmed_tagged_calls(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

/// "key": and what stands before it.
std::string member(const std::string& key, bool first) {
  std::string text = first ? "" : ", ";
  append_quoted(text, key);
  return text + ": ";
}

/// A value up to its end tag, as the member's JSON.
Task tagged_value(OutputReader& reader, OutputReader::Words ends, ValueTypes types) {
  bool ok = false;
  int which = -1;
  if (types == kStringType) {
    reader.arguments("\"");
    ok = co_await reader.text_until(ends, which, Channel::kJsonString);
    if (!ok) co_return false;
    reader.arguments("\"");
    co_return true;
  }
  std::string text;
  ok = co_await reader.text_until(ends, which, Channel::kKept, &text);
  if (!ok) co_return false;
  reader.arguments(typed_json(text, types));
  co_return true;
}

/// The call whose opening tag has been taken, its closing tag included.
Task tagged_call(OutputReader& reader, const TaggedSyntax& syntax, bool& section_closed) {
  bool ok = false;
  const std::array<std::string_view, 1> name_ends{syntax.name_end};
  const std::array<std::string_view, 1> key_ends{syntax.key_end};
  const std::array<std::string_view, 1> tag_ends{">"};
  const std::array<std::string_view, 3> next{syntax.parameter_open, syntax.call_close, syntax.section_close};
  const std::string on_new_line = "\n" + std::string(syntax.parameter_close);
  const std::array<std::string_view, 2> value_ends{on_new_line, syntax.parameter_close};
  const std::array<std::string_view, 1> line_break{"\n"};
  int which = -1;
  std::string name;
  std::string key;
  std::string attributes;
  ok = co_await reader.text_until(name_ends, which, Channel::kKept, &name);
  if (!ok) co_return false;
  name = trimmed_tagged_calls(name);
  if (name.empty() || name.size() > kTaggedCallsMaxNameBytes) co_return false;
  reader.begin_call(name);
  reader.arguments("{");
  for (bool first = true;; first = false) {
    co_await reader.skip_space();
    co_await reader.one_of(next, which);
    if (which < 0) co_return false;
    if (which > 0) break;
    key.clear();
    attributes.clear();
    ok = co_await reader.text_until(key_ends, which, Channel::kKept, &key);
    if (!ok) co_return false;
    if (syntax.has_attributes) {
      ok = co_await reader.text_until(tag_ends, which, Channel::kKept, &attributes);
      if (!ok) co_return false;
    }
    key = trimmed_tagged_calls(key);
    if (key.size() > kTaggedCallsMaxNameBytes) co_return false;
    ValueTypes types = reader.schemas().types(name, key);
    if (attributes.find("string=\"true\"") != std::string::npos) types = kStringType;
    if (attributes.find("string=\"false\"") != std::string::npos && types == kStringType) types = kAnyType;
    reader.arguments(member(key, first));
    co_await reader.one_of(line_break, which);
    ok = co_await tagged_value(reader, value_ends, types);
    if (!ok) co_return false;
  }
  section_closed = which == 2;
  reader.arguments("}");
  reader.end_call();
  co_return true;
}

}  // namespace

Task tagged_calls(OutputReader& reader, const TaggedSyntax& syntax, bool opened) {
  bool ok = false;
  const std::array<std::string_view, 2> next{syntax.call_open, syntax.section_close};
  bool section_closed = false;
  int which = -1;
  for (bool first = true;; first = false) {
    if (!(first && opened)) {
      co_await reader.skip_space();
      co_await reader.one_of(next, which);
      if (which == 1) co_return !first;
      if (which < 0) co_return !first;
    }
    ok = co_await tagged_call(reader, syntax, section_closed);
    if (!ok) co_return false;
    if (section_closed) co_return true;
  }
}

Task paired_call(OutputReader& reader, const PairSyntax& syntax) {
  bool ok = false;
  const std::array<std::string_view, 3> name_ends{"\n", syntax.key_open, syntax.section_close};
  const std::array<std::string_view, 2> next{syntax.key_open, syntax.section_close};
  const std::array<std::string_view, 1> key_ends{syntax.key_close};
  const std::array<std::string_view, 1> value_ends{syntax.value_close};
  int which = -1;
  std::string name;
  std::string key;
  co_await reader.skip_space();
  ok = co_await reader.text_until(name_ends, which, Channel::kKept, &name);
  if (!ok) co_return false;
  name = trimmed_tagged_calls(name);
  if (name.empty() || name.size() > kTaggedCallsMaxNameBytes) co_return false;
  reader.begin_call(name);
  reader.arguments("{");
  // What ended the name may already be the first key's tag, or the end.
  bool has_key = which == 1;
  bool at_end = which == 2;
  for (bool first = true; !at_end; first = false) {
    if (!has_key) {
      co_await reader.skip_space();
      co_await reader.one_of(next, which);
      if (which < 0) co_return false;
      if (which == 1) break;
    }
    has_key = false;
    key.clear();
    ok = co_await reader.text_until(key_ends, which, Channel::kKept, &key);
    if (!ok) co_return false;
    key = trimmed_tagged_calls(key);
    if (key.size() > kTaggedCallsMaxNameBytes) co_return false;
    co_await reader.skip_space();
    ok = co_await reader.literal(syntax.value_open);
    if (!ok) co_return false;
    reader.arguments(member(key, first));
    ok = co_await tagged_value(reader, value_ends, reader.schemas().types(name, key));
    if (!ok) co_return false;
  }
  reader.arguments("}");
  reader.end_call();
  co_return true;
}

}  // namespace mlxd::dialects
