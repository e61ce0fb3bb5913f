#include "server/query_values.h"

#include <charconv>
#include <utility>

#include "http/message.h"

namespace mlxd {

Result<std::optional<std::string>> query_value(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = pair.find('=');
    if (pair.substr(0, equals) != key) continue;
    std::string text(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1));
    for (char& c : text)
      if (c == '+') c = ' ';
    std::string value;
    if (!http::percent_decode(text, value))
      return invalid_argument("the query's " + std::string(key) + " is wrongly encoded", std::string(key));
    return std::optional(std::move(value));
  }
  return std::optional<std::string>();
}

Result<std::int64_t> query_number(std::string_view query, std::string_view key, std::int64_t otherwise,
                                  std::int64_t max) {
  const std::optional<std::string> text = TRY(query_value(query, key));
  if (!text) return otherwise;
  std::int64_t number = 0;
  const char* end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < 0 || number > max)
    return invalid_argument(std::string(key) + " is '" + text->substr(0, 40) +
                                "', must be a number from 0 to " + std::to_string(max),
                            std::string(key));
  return number;
}

}  // namespace mlxd
