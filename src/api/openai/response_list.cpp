#include "api/openai/response_list.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include "api/json_text.h"

namespace mlxd::api::openai {

namespace json = boost::json;

namespace {

json::value id_of(const json::value& item) {
  const json::object* object = item.if_object();
  const json::value* id = object == nullptr ? nullptr : object->if_contains("id");
  return id == nullptr ? json::value() : *id;
}

}  // namespace

Result<std::string> encode_item_list(std::string_view items_json, const ItemPage& page) {
  json::error_code code;
  json::parse_options deep;
  deep.max_depth = kMaxKeptDepth;
  json::value parsed = json::parse(json::string_view(items_json.data(), items_json.size()), code, {}, deep);
  if (code || !parsed.is_array()) return corrupt_data("the items of a kept response are no JSON list");
  json::array& items = parsed.get_array();
  if (!page.ascending) std::reverse(items.begin(), items.end());
  auto begin = items.begin();
  if (!page.after.empty()) {
    begin = std::find_if(items.begin(), items.end(),
                         [&](const json::value& item) { return id_of(item) == json::value(page.after); });
    if (begin == items.end())
      return invalid_argument(
          "after is '" + page.after.substr(0, 80) + "', which is no item of this response", "after");
    ++begin;
  }
  const auto left = static_cast<std::size_t>(items.end() - begin);
  const auto end = begin + static_cast<std::ptrdiff_t>(std::min(left, page.limit));
  const json::array data(begin, end);
  const json::object list{{"object", "list"},
                          {"data", data},
                          {"first_id", data.empty() ? json::value() : id_of(data.front())},
                          {"last_id", data.empty() ? json::value() : id_of(data.back())},
                          {"has_more", left > page.limit}};
  std::string out;
  append_json_value(out, list);
  return out;
}

std::string encode_input_tokens(std::int64_t count) {
  std::string out = R"({"object":"response.input_tokens","input_tokens":)";
  append_json_number(out, count);
  return out + "}";
}

}  // namespace mlxd::api::openai
