#include <boost/json.hpp>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/json_text.h"
#include "cli/table.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

json::value to_json(const SettingInfo& info, const Settings::Value& value) {
  switch (info.kind) {
    case SettingKind::kList:
      return json::value_from(value.values);
    case SettingKind::kNumber:
    case SettingKind::kSize:
      return value.number;
    case SettingKind::kSwitch:
      return value.number != 0;
    case SettingKind::kText:
      break;
  }
  return json::string(value.values.front());
}

std::string to_text(const Settings::Value& value) {
  std::string text;
  for (const std::string& part : value.values) text += (text.empty() ? "" : ", ") + part;
  return text.empty() ? "none" : text;
}

}  // namespace

Result<int> config_command(const CommandContext& context, const ConfigOptions& options) {
  const Settings settings = TRY(Settings::resolve({}, context.state));
  Table table({{"SETTING"}, {"VALUE"}, {"FROM"}});
  json::object values{{"home", json::object{{"value", context.state.root().string()}}}};
  for (const SettingInfo& info : setting_infos()) {
    const Settings::Value& value = settings.value(info.name);
    const std::string source = describe_source(value.source, info.name, context.state);
    table.add_row({std::string(info.name), to_text(value), source});
    values[info.name] = json::object{{"value", to_json(info, value)}, {"from", source}};
  }
  context.console.write(options.json
                            ? pretty_json(values)
                            : "state folder: " + context.state.root().string() + "\n" + table.to_string());
  return kExitOk;
}

}  // namespace mlxd::cli
