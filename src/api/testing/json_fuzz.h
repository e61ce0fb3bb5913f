// Test helper: random JSON, and requests that are almost right. The same seed gives the same.
#pragma once

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mlxd::api::testing {

class Dice {
 public:
  explicit Dice(std::uint32_t seed) : numbers_(seed) {}

  /// From 0 to count - 1.
  std::size_t below(std::size_t count) { return numbers_() % count; }
  bool one_in(std::size_t count) { return below(count) == 0; }
  template <typename List>
  const auto& pick(const List& list) {
    return list[below(std::size(list))];
  }

  /// Valid UTF-8 with what JSON and streams have to escape.
  std::string text(std::size_t most_pieces = 6) {
    static constexpr std::array<std::string_view, 16> kPieces = {
        "a", "word ", "\"",     "\\",           "\n",     "\r\n",      "\t", std::string_view("\0", 1),
        "é", "𝄞",     "\u2028", "\xEF\xBF\xBD", "data: ", "</script>", "{",  "}"};
    std::string out;
    for (std::size_t i = below(most_pieces + 1); i > 0; --i) out += pick(kPieces);
    return out;
  }
  std::string bytes(std::size_t most) {
    std::string out;
    for (std::size_t i = below(most + 1); i > 0; --i) out += static_cast<char>(below(256));
    return out;
  }

  boost::json::value value(int depth = 3) {
    switch (below(depth > 0 ? 12 : 9)) {
      case 0:
        return nullptr;
      case 1:
        return one_in(2);
      case 2:
        return static_cast<std::int64_t>(below(40)) - 10;
      case 3:
        return pick(std::array<std::int64_t, 4>{std::numeric_limits<std::int64_t>::min(), -1, 1LL << 31U,
                                                std::numeric_limits<std::int64_t>::max()});
      case 4:
        return std::numeric_limits<std::uint64_t>::max();
      case 5:
        return pick(std::array<double, 6>{0.5, -0.0, 1e308, -1e308, 5e-324, 9007199254740993.0});
      case 6:
        return boost::json::string(pick(
            std::array<std::string_view, 12>{"user", "assistant", "system", "tool", "text", "function",
                                             "auto", "none", "json_schema", "tool_result", "custom", "5m"}));
      case 7:
      case 8:
        return boost::json::string(text());
      case 9: {
        boost::json::array list;
        for (std::size_t i = below(4); i > 0; --i) list.push_back(value(depth - 1));
        return list;
      }
      default: {
        boost::json::object object;
        for (std::size_t i = below(4); i > 0; --i)
          object[one_in(2) ? text(2) : std::string(pick(kKeys))] = value(depth - 1);
        return object;
      }
    }
  }

  /// `value` with one thing in it changed.
  void mutate(boost::json::value& value) {
    if (auto* object = value.if_object(); object != nullptr && !object->empty() && !one_in(8)) {
      const auto member = object->begin() + static_cast<std::ptrdiff_t>(below(object->size()));
      if (one_in(6))
        object->erase(member);
      else if (one_in(8))
        (*object)[std::string(pick(kKeys))] = this->value();
      else
        mutate(member->value());
      return;
    }
    if (auto* list = value.if_array(); list != nullptr && !list->empty() && !one_in(8)) {
      const std::size_t i = below(list->size());
      if (one_in(6))
        list->erase(list->begin() + static_cast<std::ptrdiff_t>(i));
      else if (one_in(8))
        list->push_back((*list)[i]);
      else
        mutate((*list)[i]);
      return;
    }
    value = this->value();
  }

  /// A body that is almost `right`: a few members changed, or a few of its bytes.
  std::string body_like(const boost::json::value& right) {
    boost::json::value value = right;
    for (std::size_t i = below(4); i > 0; --i) mutate(value);
    std::string body = boost::json::serialize(value);
    if (!one_in(4)) return body;
    for (std::size_t i = below(3) + 1; i > 0 && !body.empty(); --i) {
      const std::size_t at = below(body.size());
      switch (below(4)) {
        case 0:
          body[at] = static_cast<char>(below(256));
          break;
        case 1:
          body.erase(at, below(20));
          break;
        case 2:
          body.insert(at, bytes(4));
          break;
        default:
          body.insert(at, std::string(below(300), pick(std::string_view("[{\"\\0"))));
      }
    }
    return body;
  }

 private:
  static constexpr std::array<std::string_view, 24> kKeys = {
      "role",       "content", "type",     "text",     "name",       "arguments", "input",  "tool_calls",
      "function",   "id",      "call_id",  "model",    "stream",     "schema",    "format", "tools",
      "cache_salt", "effort",  "messages", "thinking", "max_tokens", "stop",      "output", "parameters"};
  std::mt19937 numbers_;
};

}  // namespace mlxd::api::testing
