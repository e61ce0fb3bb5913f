#include "api/anthropic/model_list.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "api/json_text.h"
#include "api/manage/catalog_json.h"

namespace mlxd::api::anthropic {
namespace {

constexpr std::size_t kMaxLimit = 1000;

// RFC 3339.
std::string date_text(std::int64_t seconds_since_1970) {
  const auto seconds = static_cast<std::time_t>(seconds_since_1970);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

void append_or_null(std::string& out, std::string_view text) {
  if (text.empty())
    out += "null";
  else
    append_json_string(out, text);
}

Error no_such_place(std::string_view field, const std::string& id) {
  return invalid_argument(std::string(field) + " is '" + id.substr(0, 200) + "', which is no model's id",
                          std::string(field));
}

}  // namespace

Result<ModelPage> read_model_page(std::string_view query) {
  ModelPage page;
  for (const auto& [name, value] : TRY(manage::decode_query(query))) {
    if (name == "after_id") page.after_id = value;
    if (name == "before_id") page.before_id = value;
    if (name != "limit") continue;
    const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), page.limit);
    if (code != std::errc() || end != value.data() + value.size() || page.limit < 1 || page.limit > kMaxLimit)
      return invalid_argument(
          "limit is '" + value.substr(0, 40) + "', must be between 1 and " + std::to_string(kMaxLimit),
          "limit");
  }
  if (!page.after_id.empty() && !page.before_id.empty())
    return invalid_argument("before_id is not taken together with after_id", "before_id");
  return page;
}

std::string encode_model(const ModelEntry& model) {
  std::string out = R"({"type":"model","id":)";
  append_json_string(out, model.id);
  out += R"(,"display_name":)";
  append_json_string(out, model.id);
  out += R"(,"created_at":)";
  append_json_string(out, date_text(model.created));
  for (const char* key : {"max_input_tokens", "max_tokens"}) {
    out += R"(,")" + std::string(key) + "\":";
    if (model.context_tokens > 0)
      append_json_number(out, model.context_tokens);
    else
      out += "null";
  }
  out += R"(,"capabilities":null,"lifecycle":"active","line":null,"deprecated_at":null,"retires_at":null})";
  return out;
}

Result<std::string> encode_model_list(std::span<const ModelEntry> models, const ModelPage& page) {
  const auto place_of = [&](const std::string& id) {
    return static_cast<std::size_t>(
        std::find_if(models.begin(), models.end(), [&](const ModelEntry& model) { return model.id == id; }) -
        models.begin());
  };
  std::size_t begin = 0;
  std::size_t end = models.size();
  bool has_more = false;
  if (!page.before_id.empty()) {
    end = place_of(page.before_id);
    if (end == models.size()) return no_such_place("before_id", page.before_id);
    begin = end - std::min(page.limit, end);
    has_more = begin > 0;
  } else {
    if (!page.after_id.empty()) {
      begin = place_of(page.after_id) + 1;
      if (begin > models.size()) return no_such_place("after_id", page.after_id);
    }
    end = std::min(begin + page.limit, models.size());
    has_more = end < models.size();
  }
  std::string out = R"({"data":[)";
  for (std::size_t i = begin; i < end; ++i) {
    if (i > begin) out += ',';
    out += anthropic::encode_model(models[i]);
  }
  out += R"(],"has_more":)";
  out += has_more ? "true" : "false";
  out += R"(,"first_id":)";
  append_or_null(out, begin < end ? std::string_view(models[begin].id) : std::string_view());
  out += R"(,"last_id":)";
  append_or_null(out, begin < end ? std::string_view(models[end - 1].id) : std::string_view());
  out += '}';
  return out;
}

}  // namespace mlxd::api::anthropic
