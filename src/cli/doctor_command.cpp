#include <boost/json.hpp>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/doctor_checks.h"
#include "cli/json_text.h"
#include "cli/table.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

std::string mark(const Console& console, Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return console.styled(Style::kGreen, "ok  ");
    case Verdict::kWarning:
      return console.styled(Style::kYellow, "note");
    case Verdict::kBroken:
      return console.styled(Style::kRed, "FAIL");
  }
  return {};
}

}  // namespace

Result<int> doctor_command(const CommandContext& context, const DoctorOptions& options) {
  const std::vector<Finding> findings = examine(context.state);
  int num_broken = 0;
  json::array checks;
  std::string text;
  for (const Finding& finding : findings) {
    if (finding.verdict == Verdict::kBroken) ++num_broken;
    checks.push_back(json::object{{"check", finding.name},
                                  {"verdict", to_string(finding.verdict)},
                                  {"detail", finding.detail},
                                  {"remedy", finding.remedy}});
    const std::string padding(finding.name.size() < 15 ? 15 - finding.name.size() : 1, ' ');
    text += mark(context.console, finding.verdict) + "  " + finding.name + padding + finding.detail + "\n";
    if (!finding.remedy.empty()) text += "      " + std::string(15, ' ') + "→ " + finding.remedy + "\n";
  }
  if (options.json) {
    context.console.write(
        pretty_json(json::object{{"healthy", num_broken == 0}, {"checks", std::move(checks)}}));
  } else {
    text += num_broken == 0
                ? "nothing is broken\n"
                : std::to_string(num_broken) + (num_broken == 1 ? " thing is" : " things are") + " broken\n";
    context.console.write(text);
  }
  return num_broken == 0 ? kExitOk : kExitFailure;
}

}  // namespace mlxd::cli
