#include "workbench/probe_json.h"

#include <boost/json.hpp>
#include <cmath>
#include <string>

namespace mlxd {
namespace {

namespace json = boost::json;

json::value to_json(const std::optional<bool>& value) { return value ? json::value(*value) : json::value(); }
json::value text_or_null(const std::string& text) { return text.empty() ? json::value() : json::value(text); }
double rounded(double value) { return std::round(value * 10.0) / 10.0; }

Error corrupt(const std::string& field) {
  return Error(ErrorKind::kCorruptData,
               "not a report of mlxd probe: \"" + field + "\" is missing or of a wrong type", field);
}

/// Reads fields, and remembers the first that is not as it should be.
class Reader {
 public:
  explicit Reader(const json::object& object) : object_(object) {}

  std::string text(std::string_view key) {
    const json::value* const value = object_.if_contains(key);
    if (value != nullptr && value->is_string()) return std::string(value->get_string());
    if (value == nullptr || !value->is_null()) failed_ = key;
    return {};
  }
  std::int32_t number(std::string_view key) {
    const json::value* const value = object_.if_contains(key);
    boost::system::error_code error;
    const auto number = value != nullptr ? value->to_number<std::int32_t>(error) : 0;
    if (value == nullptr || error) failed_ = key;
    return number;
  }
  std::optional<bool> fact(std::string_view key) {
    const json::value* const value = object_.if_contains(key);
    if (value != nullptr && value->is_bool()) return value->get_bool();
    if (value == nullptr || !value->is_null()) failed_ = key;
    return {};
  }
  Reader inside(std::string_view key) {
    static const json::object kEmpty;
    const json::value* const value = object_.if_contains(key);
    const bool is_object = value != nullptr && value->is_object();
    if (!is_object) failed_ = key;
    return Reader(is_object ? value->get_object() : kEmpty);
  }
  const json::array& list(std::string_view key) {
    static const json::array kEmpty;
    const json::value* const value = object_.if_contains(key);
    if (value != nullptr && value->is_array()) return value->get_array();
    failed_ = key;
    return kEmpty;
  }
  const std::string& failed() const { return failed_; }

 private:
  const json::object& object_;
  std::string failed_;
};

}  // namespace

json::object probe_json(const ProbeReport& report) {
  json::array trials;
  for (const auto& trial : report.context.trials)
    trials.push_back(json::object{{"tokens", trial.tokens}, {"tokens_per_s", rounded(trial.tokens_per_s)}});
  json::array switches;
  for (const auto& entry : report.switches)
    switches.push_back(json::object{{"name", entry.name},
                                    {"default", text_or_null(entry.default_json)},
                                    {"changes_prompt", to_json(entry.changes_prompt)}});
  json::array speed;
  for (const auto& entry : report.speed)
    speed.push_back(json::object{{"streams", entry.streams},
                                 {"prefill_tokens_per_s", rounded(entry.prefill_tokens_per_s)},
                                 {"decode_tokens_per_s", rounded(entry.decode_tokens_per_s)}});
  return {{"model", report.model},
          {"backend", report.backend},
          {"family", text_or_null(report.family)},
          {"has_template", report.has_template},
          {"load_seconds", std::round(report.load_seconds * 1000.0) / 1000.0},
          {"weight_bytes", report.weight_bytes},
          {"kv_bytes_per_token", report.kv_bytes_per_token},
          {"context", json::object{{"model_tokens", report.context.model_tokens},
                                   {"fitting_tokens", report.context.fitting_tokens},
                                   {"trials", std::move(trials)}}},
          {"end_tokens", json::value_from(report.end_tokens)},
          {"ends_by_itself", to_json(report.ends_by_itself)},
          {"reasoning", json::object{{"open", text_or_null(report.reasoning.open)},
                                     {"close", text_or_null(report.reasoning.close)},
                                     {"has_channels", report.reasoning.has_channels},
                                     {"by_itself", to_json(report.reasoning.by_itself)},
                                     {"when_off", to_json(report.reasoning.when_off)},
                                     {"foreign_marker", text_or_null(report.reasoning.foreign_marker)}}},
          {"tools", json::object{{"dialect", text_or_null(report.tools.dialect)},
                                 {"in_template", report.tools.in_template},
                                 {"called", to_json(report.tools.called)},
                                 {"held_to_call", to_json(report.tools.held_to_call)},
                                 {"foreign_dialect", text_or_null(report.tools.foreign_dialect)}}},
          {"keeps_to_schema", to_json(report.keeps_to_schema)},
          {"switches", std::move(switches)},
          {"speed", std::move(speed)},
          {"remarks", json::value_from(report.remarks)}};
}

Result<ProbeReport> parse_probe(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object())
    return Error(ErrorKind::kCorruptData, "not a report of mlxd probe: it is no JSON object");
  Reader whole(value.get_object());
  ProbeReport report;
  report.model = whole.text("model");
  report.family = whole.text("family");
  report.ends_by_itself = whole.fact("ends_by_itself");
  for (const json::value& name : whole.list("end_tokens")) {
    if (!name.is_string()) return corrupt("end_tokens");
    report.end_tokens.emplace_back(name.get_string());
  }
  for (const json::value& entry : whole.list("switches")) {
    if (!entry.is_object()) return corrupt("switches");
    Reader reader(entry.get_object());
    report.switches.push_back({reader.text("name"), reader.text("default"), reader.fact("changes_prompt")});
    if (!reader.failed().empty()) return corrupt(reader.failed());
  }
  Reader context = whole.inside("context");
  report.context.model_tokens = context.number("model_tokens");
  Reader reasoning = whole.inside("reasoning");
  report.reasoning.open = reasoning.text("open");
  report.reasoning.close = reasoning.text("close");
  report.reasoning.by_itself = reasoning.fact("by_itself");
  Reader tools = whole.inside("tools");
  report.tools.dialect = tools.text("dialect");
  report.tools.called = tools.fact("called");
  for (const Reader* const reader : {&whole, &context, &reasoning, &tools})
    if (!reader->failed().empty()) return corrupt(reader->failed());
  return report;
}

}  // namespace mlxd
