#include "cli/service_unit.h"

#include <string_view>

namespace mlxd::cli {
namespace {

/// A word of ExecStart or Environment (systemd.syntax(7)): quoted, with specifiers and variables kept as they
/// are.
std::string systemd_word(std::string_view text) {
  std::string word = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') word += '\\';
    if (c == '%' || c == '$') word += c;
    if (c == '\n')
      word += "\\n";
    else
      word += c;
  }
  return word + "\"";
}

std::string xml_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string xml_string(std::string_view text) { return "<string>" + xml_text(text) + "</string>"; }

}  // namespace

std::string systemd_unit(const ServiceUnit& unit) {
  std::string text =
      "[Unit]\n"
      "Description=mlxd, MLX models over HTTP\n"
      "After=network.target\n"
      "\n"
      "[Service]\n"
      "ExecStart=" +
      systemd_word(unit.program.string());
  for (const std::string& argument : unit.arguments) text += " " + systemd_word(argument);
  text += "\n";
  for (const auto& [name, value] : unit.environment) {
    // Variables are no variables here, so that "$" stays one.
    std::string word = systemd_word(name + "=" + value);
    for (std::size_t at = word.find("$$"); at != std::string::npos; at = word.find("$$", at + 1))
      word.erase(at, 1);
    text += "Environment=" + word + "\n";
  }
  text +=
      "Restart=on-failure\n"
      "RestartSec=2\n"
      "TimeoutStopSec=40\n"
      "LimitNOFILE=16384\n"
      "\n"
      "[Install]\n"
      "WantedBy=default.target\n";
  return text;
}

std::string launchd_agent(const ServiceUnit& unit) {
  std::string text =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
      "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
      "<plist version=\"1.0\">\n"
      "<dict>\n"
      "  <key>Label</key>" +
      xml_string("mlxd") +
      "\n"
      "  <key>ProgramArguments</key>\n"
      "  <array>\n    " +
      xml_string(unit.program.string()) + "\n";
  for (const std::string& argument : unit.arguments) text += "    " + xml_string(argument) + "\n";
  text += "  </array>\n";
  if (!unit.environment.empty()) {
    text += "  <key>EnvironmentVariables</key>\n  <dict>\n";
    for (const auto& [name, value] : unit.environment)
      text += "    <key>" + xml_text(name) + "</key>" + xml_string(value) + "\n";
    text += "  </dict>\n";
  }
  text +=
      "  <key>RunAtLoad</key><true/>\n"
      "  <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>\n"
      "  <key>ThrottleInterval</key><integer>5</integer>\n"
      "  <key>StandardErrorPath</key>" +
      xml_string((unit.state_folder / "logs" / "service.log").string()) +
      "\n"
      "</dict>\n"
      "</plist>\n";
  return text;
}

}  // namespace mlxd::cli
