#include "text/dialects/harmony.h"

#include <string>

#include "text/dialects/json_calls.h"

namespace mlxd::dialects {
namespace {

using Channel = OutputReader::Channel;

constexpr std::size_t kMaxHeaderBytes = 512;
constexpr std::string_view kMessageBegins[] = {"<|channel|>", "<|start|>", "<|message|>", " to="};
constexpr std::string_view kMarkedBegins[] = {"<|channel|>", "<|start|>", "<|message|>"};
constexpr int kMessageMark = 2;
constexpr std::string_view kHeaderEnds[] = {"<|message|>"};
constexpr std::string_view kBodyEnds[] = {"<|channel|>", "<|start|>", "<|end|>", "<|call|>", "<|return|>"};
constexpr int kLastOpeningEnd = 1;  // of the body's ends, those that begin the next message

/// The word after `mark`, up to white space or the next mark.
std::string word_after(const std::string& header, std::string_view mark) {
  std::size_t begin = header.find(mark);
  if (begin == std::string::npos) return {};
  begin += mark.size();
  return header.substr(begin, header.find_first_of(" \n\t<", begin) - begin);
}

/// The function that a message is for, or empty.
std::string function_of(const std::string& recipient, const ToolSchemas& schemas) {
  if (schemas.empty()) return {};
  constexpr std::string_view kPrefix = "functions.";
  if (recipient.starts_with(kPrefix)) return recipient.substr(kPrefix.size());
  return schemas.has(recipient) ? recipient : std::string();
}

}  // namespace

Task read_harmony(OutputReader& reader, bool& in_reasoning) {
  bool ok = false;
  int which = -1;
  std::string header;
  bool begun = false;  // the last message's end began this one
  for (;;) {
    if (!begun) {
      reader.keep();
      co_await reader.one_of(kMessageBegins, which);
      if (which < 0) {
        reader.let_go();
        ok = co_await reader.text_until(kMarkedBegins, which, Channel::kContent);
        if (!ok) co_return true;
        reader.keep(kMarkedBegins[which]);
      }
      header = kMessageBegins[which];
    }
    begun = false;
    if (which != kMessageMark) {
      ok = co_await reader.text_until(kHeaderEnds, which, Channel::kKept, &header);
      if (!ok) {
        reader.give_up();
        co_return true;
      }
    }
    if (header.size() > kMaxHeaderBytes) {
      reader.abandon();
      continue;
    }
    const std::string function = function_of(word_after(header, "to="), reader.schemas());
    if (!function.empty()) {
      ok = co_await json_arguments_of(reader, function);
      if (ok) {
        co_await reader.skip_space();
        co_await reader.one_of(kBodyEnds, which);
        reader.let_go();
        if (which < 0) continue;
      } else {
        reader.give_up();
        continue;
      }
    } else {
      reader.let_go();
      in_reasoning = word_after(header, "<|channel|>") == "analysis";
      const bool ended = co_await reader.text_until(kBodyEnds, which,
                                                    in_reasoning ? Channel::kReasoning : Channel::kContent);
      in_reasoning = false;
      if (!ended) co_return true;
    }
    if (which <= kLastOpeningEnd) {
      begun = true;
      header = kBodyEnds[which];
      reader.keep(header);
    }
  }
}

}  // namespace mlxd::dialects
