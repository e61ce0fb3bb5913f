#include "api/manage/profile_codec.h"

#include <toml++/toml.h>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <exception>
#include <sstream>
#include <utility>

#include "api/field_reader.h"
#include "api/openai/profile_defaults.h"

namespace mlxd::api::manage {

namespace json = boost::json;

namespace {

constexpr std::size_t kMaxTextBytes = 100'000;

Result<std::string> read_short(const json::value& value, std::string_view field) {
  std::string text = TRY(read_string(value, field));
  if (text.size() > kMaxTextBytes)
    return invalid_argument(
        std::string(field) + " has " + std::to_string(text.size()) + " bytes, at most 100000 are kept",
        std::string(field));
  return text;
}

Result<void> read_name(const json::value& value, std::string_view field, ProfileFields& fields) {
  fields.name = TRY(read_short(value, field));
  return {};
}
Result<void> read_description(const json::value& value, std::string_view field, ProfileFields& fields) {
  fields.description = TRY(read_short(value, field));
  return {};
}
Result<void> read_model(const json::value& value, std::string_view field, ProfileFields& fields) {
  fields.model = TRY(read_short(value, field));
  if (fields.model->empty())
    return invalid_argument("model is empty: name the model the profile uses", "model");
  return {};
}
Result<void> read_defaults(const json::value& value, std::string_view field, ProfileFields& fields) {
  const json::object& object = *TRY(read_object(value, field));
  TRY(openai::check_profile_defaults(object));
  fields.defaults = json::serialize(object);
  return {};
}
Result<void> read_auto_load(const json::value& value, std::string_view field, ProfileFields& fields) {
  fields.auto_load = TRY(read_boolean(value, field));
  return {};
}
constexpr Meaning kOfTheAnswer{"What an answer has, so that one can be sent back; let be."};

constexpr Field<ProfileFields> kProfileFields[] = {
    {"name", FieldUse::kHonoured, read_name, {"The name by which requests ask for it.", text()}},
    {"description", FieldUse::kHonoured, read_description, {"What it is for.", text()}},
    {"model", FieldUse::kHonoured, read_model, {"The model that it uses.", text()}},
    {"defaults",
     FieldUse::kHonoured,
     read_defaults,
     {"What requests say that leave it open.", object_of(openai::profile_default_infos)}},
    {"auto_load",
     FieldUse::kHonoured,
     read_auto_load,
     {"Whether its model is loaded when the program starts.", boolean().by_default("false")}},
    {"id", FieldUse::kInforms, nullptr, kOfTheAnswer},
    {"created_at", FieldUse::kInforms, nullptr, kOfTheAnswer},
    {"changed_at", FieldUse::kInforms, nullptr, kOfTheAnswer},
};

Result<void> read_alias_model(const json::value& value, std::string_view field, std::string& model) {
  model = TRY(read_short(value, field));
  return {};
}
Result<void> read_file(const json::value& value, std::string_view field, std::string& text) {
  text = TRY(read_string(value, field));
  return {};
}
constexpr Field<std::string> kFileFields[] = {
    {"toml", FieldUse::kRequired, read_file, {"A profile's file.", text()}},
};

constexpr Field<std::string> kAliasFields[] = {
    {"model", FieldUse::kRequired, read_alias_model, {"What the name stands for.", text()}},
    {"name", FieldUse::kInforms, nullptr, kOfTheAnswer},
};

json::object parse_defaults(const std::string& text) {
  json::error_code code;
  json::value value = json::parse(text, code);
  return !code && value.is_object() ? std::move(value.get_object()) : json::object();
}

// TOML has no null, and needs none here: null means absent.
toml::table table_of(const json::object& object);

toml::array array_of(const json::array& list) {
  toml::array array;
  for (const json::value& value : list) {
    if (value.is_string())
      array.push_back(std::string(value.get_string()));
    else if (value.is_bool())
      array.push_back(value.get_bool());
    else if (value.is_int64())
      array.push_back(value.get_int64());
    else if (value.is_double())
      array.push_back(value.get_double());
    else if (value.is_object())
      array.push_back(table_of(value.get_object()));
    else if (value.is_array())
      array.push_back(array_of(value.get_array()));
  }
  return array;
}

toml::table table_of(const json::object& object) {
  toml::table table;
  for (const auto& [name, value] : object) {
    const std::string key(name);
    if (value.is_string())
      table.insert_or_assign(key, std::string(value.get_string()));
    else if (value.is_bool())
      table.insert_or_assign(key, value.get_bool());
    else if (value.is_int64())
      table.insert_or_assign(key, value.get_int64());
    else if (value.is_double())
      table.insert_or_assign(key, value.get_double());
    else if (value.is_object())
      table.insert_or_assign(key, table_of(value.get_object()));
    else if (value.is_array())
      table.insert_or_assign(key, array_of(value.get_array()));
  }
  return table;
}

json::value value_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return json::string(text->get());
  if (const auto* number = node.as_integer()) return number->get();
  if (const auto* real = node.as_floating_point())
    return std::isfinite(real->get()) ? json::value(real->get()) : json::value(nullptr);
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* list = node.as_array()) {
    json::array array;
    for (const toml::node& entry : *list) array.push_back(value_of(entry));
    return array;
  }
  if (const auto* table = node.as_table()) {
    json::object object;
    for (const auto& [key, entry] : *table) object[std::string(key.str())] = value_of(entry);
    return object;
  }
  return nullptr;  // dates, which no field takes
}

}  // namespace

json::object encode_profile(const Profile& profile) {
  return {{"id", json::string(profile.id)},
          {"name", json::string(profile.name)},
          {"description", json::string(profile.description)},
          {"model", json::string(profile.model)},
          {"defaults", parse_defaults(profile.defaults)},
          {"auto_load", profile.auto_load},
          {"created_at", profile.created_at},
          {"changed_at", profile.changed_at}};
}

Result<ProfileFields> decode_profile(std::string_view body) {
  return decode_profile(TRY(parse_request_object(body)));
}

Result<ProfileFields> decode_profile(const json::object& object) {
  ProfileFields fields;
  TRY(read_fields<ProfileFields>(object, kProfileFields, fields));
  return fields;
}

void apply(const ProfileFields& fields, Profile& profile) {
  if (fields.name) profile.name = *fields.name;
  if (fields.description) profile.description = *fields.description;
  if (fields.model) profile.model = *fields.model;
  if (fields.defaults) profile.defaults = *fields.defaults;
  if (fields.auto_load) profile.auto_load = *fields.auto_load;
}

std::string profile_to_toml(const Profile& profile) {
  toml::table table;
  table.insert_or_assign("name", profile.name);
  if (!profile.description.empty()) table.insert_or_assign("description", profile.description);
  table.insert_or_assign("model", profile.model);
  if (profile.auto_load) table.insert_or_assign("auto_load", true);
  table.insert_or_assign("defaults", table_of(parse_defaults(profile.defaults)));
  std::ostringstream text;
  // Quoted on one line each: readers drop a line break that begins a string of several lines, and literal
  // strings can't have one.
  constexpr auto kFlags =
      toml::toml_formatter::default_flags &
      ~(toml::format_flags::allow_multi_line_strings | toml::format_flags::allow_literal_strings);
  text << "# A profile of mlxd: mlxd profile import FILE\n" << toml::toml_formatter(table, kFlags) << "\n";
  return text.str();
}

Result<ProfileFields> profile_from_toml(std::string_view text) {
  try {
    const toml::table table = toml::parse(text);
    const json::value object = value_of(table);
    return decode_profile(object.as_object());
  } catch (const toml::parse_error& failure) {
    return invalid_argument("the profile is no TOML: " + std::string(failure.description()) + " in line " +
                            std::to_string(failure.source().begin.line));
  } catch (const std::exception& failure) {
    return invalid_argument(std::string("the profile cannot be read: ") + failure.what());
  }
}

std::vector<FieldInfo> profile_infos() { return infos_of<ProfileFields>(kProfileFields); }
std::vector<FieldInfo> profile_file_infos() { return infos_of<std::string>(kFileFields); }
std::vector<FieldInfo> alias_infos() { return infos_of<std::string>(kAliasFields); }

Result<std::string> decode_profile_file(std::string_view body) {
  std::string text;
  TRY(read_fields<std::string>(TRY(parse_request_object(body)), kFileFields, text));
  return text;
}

Result<std::string> decode_alias_model(std::string_view body) {
  std::string model;
  TRY(read_fields<std::string>(TRY(parse_request_object(body)), kAliasFields, model));
  if (model.empty()) return missing_field("model");
  return model;
}

}  // namespace mlxd::api::manage
