#include "text/dialects/json_calls.h"

#include <array>
#include <boost/json.hpp>
#include <string>

#include "text/dialects/json_scanner.h"

namespace mlxd::dialects {
namespace {

using Channel = OutputReader::Channel;

/// The object that a complete value stands for; empty if none.
std::string object_in(const std::string& value) {
  if (is_json_object(value)) return value;
  if (value == "null") return "{}";
  boost::json::error_code code;
  const boost::json::value parsed = boost::json::parse(value, code);
  if (code || !parsed.is_string()) return {};
  std::string text(parsed.get_string());
  if (text.empty()) return "{}";
  return is_json_object(text) ? text : std::string();
}

}  // namespace

Task json_call(OutputReader& reader, JsonCallOptions options) {
  bool ok = false;
  ok = co_await reader.literal("{");
  if (!ok) co_return false;
  std::string name;
  std::string id;
  std::string key;
  std::string kept;
  std::string arguments;  // that came before the name, or as a string
  bool begun = false;
  char c = 0;
  for (bool first = true;; first = false) {
    co_await reader.skip_space();
    ok = co_await reader.peek(c);
    if (!ok) co_return false;
    if (c == '}') break;
    if (!first) {
      ok = co_await reader.literal(",");
      if (!ok) co_return false;
      co_await reader.skip_space();
    }
    ok = co_await reader.json_string(key);
    if (!ok) co_return false;
    co_await reader.skip_space();
    ok = co_await reader.literal(":");
    if (!ok) co_return false;
    co_await reader.skip_space();
    ok = co_await reader.peek(c);
    if (!ok) co_return false;
    if ((key == "name" || key == "tool_name") && name.empty()) {
      ok = co_await reader.json_string(name);
      if (!ok) co_return false;
      if (name.empty() || (options.known_only && !reader.schemas().has(name))) co_return false;
      if (options.known_only) reader.recognize_call();
    } else if ((key == "arguments" || key == "parameters") && !begun && arguments.empty()) {
      if (!name.empty() && c == '{') {
        reader.begin_call(name, id);
        begun = true;
        ok = co_await reader.json_value(Channel::kArguments);
        if (!ok) co_return false;
        continue;
      }
      kept.clear();
      ok = co_await reader.json_value(Channel::kKept, &kept);
      if (!ok) co_return false;
      arguments = object_in(kept);
      if (arguments.empty()) co_return false;
    } else if ((key == "id" || key == "tool_call_id") && options.keep_ids && c == '"') {
      ok = co_await reader.json_string(id);
      if (!ok) co_return false;
    } else {
      kept.clear();
      ok = co_await reader.json_value(Channel::kKept, &kept);
      if (!ok) co_return false;
    }
  }
  reader.source().take(1);
  if (name.empty()) co_return false;
  if (!begun) {
    reader.begin_call(name, id);
    reader.arguments(arguments.empty() ? std::string_view("{}") : std::string_view(arguments));
  }
  reader.end_call();
  co_return true;
}

Task json_calls(OutputReader& reader, std::string_view closer, JsonCallOptions options) {
  bool ok = false;
  const std::array<std::string_view, 1> closers{closer};
  int closed = -1;
  char c = 0;
  co_await reader.skip_space();
  ok = co_await reader.peek(c);
  if (!ok) co_return false;
  const bool is_list = c == '[';
  if (is_list) reader.source().take(1);
  for (bool first = true;; first = false) {
    co_await reader.skip_space();
    if (is_list && !first) {
      ok = co_await reader.peek(c);
      if (!ok) co_return true;
      if (c == ',') reader.source().take(1);
      co_await reader.skip_space();
    }
    ok = co_await reader.peek(c);
    if (!ok) co_return !first;
    if (is_list && c == ']') {
      reader.source().take(1);
      break;
    }
    if (!is_list && !first && c != '{') break;
    ok = co_await json_call(reader, options);
    if (!ok) co_return false;
  }
  if (closer.empty()) co_return true;
  co_await reader.skip_space();
  co_await reader.one_of(closers, closed);
  co_return true;
}

Task json_arguments_of(OutputReader& reader, std::string_view name, std::string_view id) {
  bool ok = false;
  // The views may point into what the reader gives up while this waits.
  const std::string own_name(name);
  const std::string own_id(id);
  char c = 0;
  co_await reader.skip_space();
  if (own_name.empty()) co_return false;
  ok = co_await reader.peek(c);
  if (!ok) co_return false;
  if (c != '{' && c != '<') co_return false;
  reader.begin_call(own_name, own_id);
  if (c == '{') {
    ok = co_await reader.json_value(Channel::kArguments);
    if (!ok) co_return false;
  } else {
    reader.arguments("{}");
  }
  reader.end_call();
  co_return true;
}

}  // namespace mlxd::dialects
