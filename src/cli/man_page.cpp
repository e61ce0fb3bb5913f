#include "cli/man_page.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

#include "settings/setting_table.h"

namespace mlxd::cli {
namespace {

// The character that begins at `at` as roff names it; moves past it.
std::string named_character(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  std::uint32_t code = lead & (0xFFU >> (size + 1));
  for (std::size_t i = 1; i < size && at + i < text.size(); ++i)
    code = code << 6U | (static_cast<unsigned char>(text[at + i]) & 0x3FU);
  at += size - 1;
  std::array<char, 16> name{};
  std::snprintf(name.data(), name.size(), "\\[u%04X]", code);
  return name.data();
}

// Text for roff: no line of it is a request, hyphens can be copied.
std::string roff(std::string_view text) {
  std::string out;
  bool line_begins = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (static_cast<unsigned char>(c) >= 0x80)
      out += named_character(text, i);
    else
      out += c;
    line_begins = c == '\n';
  }
  return out;
}

std::string bold(std::string_view text) { return "\\fB" + roff(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + roff(text) + "\\fR"; }

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

// "-v, --verbose", "--port PORT"
std::string names_of(const CLI::Option& option) {
  std::string text;
  for (const std::string& name : option.get_snames()) text += (text.empty() ? "" : ", ") + bold("-" + name);
  for (const std::string& name : option.get_lnames()) text += (text.empty() ? "" : ", ") + bold("--" + name);
  if (takes_value(option)) text += " " + italic(option.get_type_name());
  return text;
}

std::vector<const CLI::App*> subcommands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string synopsis(const CLI::App& command, const std::string& path) {
  std::string text = bold("mlxd " + path);
  bool has_flags = false;
  std::string positionals;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) {
      has_flags = true;
      continue;
    }
    const std::string name = italic(option->get_type_name());
    positionals += " " + (option->get_required() ? name : "[" + name + "]");
  }
  return text + (has_flags ? " [" + italic("options") + "]" : "") + positionals;
}

// A footer's lines are laid out by hand where they begin with blanks.
std::string footer_text(const std::string& footer) {
  if (footer.empty()) return {};
  std::string text = ".PP\n";
  bool as_it_is = false;
  std::size_t begin = 0;
  while (begin < footer.size()) {
    const std::size_t end = std::min(footer.find('\n', begin), footer.size());
    const std::string line = footer.substr(begin, end - begin);
    begin = end + 1;
    if (line.empty()) continue;
    if (line.starts_with("  ") != as_it_is) {
      as_it_is = !as_it_is;
      text += as_it_is ? ".PP\n.nf\n" : ".fi\n.PP\n";
    }
    text += roff(line) + "\n";
  }
  return text + (as_it_is ? ".fi\n" : "");
}

void add_options(std::string& page, const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    // The state folder and help are told once.
    const bool common = !option->get_lnames().empty() &&
                        (option->get_lnames().front() == "home" || option->get_lnames().front() == "help");
    if (common) continue;
    page += ".TP\n" + (option->get_positional() ? italic(option->get_type_name()) : names_of(*option)) +
            "\n" + roff(option->get_description()) + "\n";
  }
}

void add_command(std::string& page, const CLI::App& command, const std::string& path) {
  const auto below = subcommands_of(command);
  // Of a group the commands are told, not the group.
  if (below.empty() || command.get_require_subcommand_min() == 0) {
    page += ".SS " + roff("mlxd " + path) + "\n" + synopsis(command, path) + "\n.PP\n" +
            roff(command.get_description()) + ".\n";
    add_options(page, command);
    page += footer_text(command.get_footer());
  }
  for (const CLI::App* one : below) add_command(page, *one, path + " " + one->get_name());
}

}  // namespace

std::string man_page(const CLI::App& root, const std::string& version) {
  std::string page =
      ".\\\" Made by 'mlxd man' from the program's own commands and settings.\n.TH MLXD 1 \"\" \"mlxd " +
      roff(version) + "\" \"User Commands\"\n";
  page += ".SH NAME\nmlxd \\- run MLX models in the terminal and serve them over HTTP\n";
  page += ".SH SYNOPSIS\n" + bold("mlxd") + " " + italic("command") + " [" + italic("options") + "]\n";
  page += ".SH DESCRIPTION\n" + roff(root.get_description()) + "\n";
  page += ".PP\nEach command takes " + bold("--help") + " and, but for " + bold("completion") + " and " +
          bold("man") + ", " + bold("--home") + " " + italic("FOLDER") + ", the state folder.\n";
  page += ".SH COMMANDS\n";
  for (const CLI::App* command : subcommands_of(root)) add_command(page, *command, command->get_name());
  page += ".SH SETTINGS\n";
  page +=
      "A setting comes from the first of these places that names it: the flag, the variable of the "
      "environment, the key of\n" +
      italic("config.toml") + " in the state folder (with _ for \\-), what " + bold("mlxd config set") +
      " has stored, the default.\n";
  for (const SettingInfo& info : setting_infos()) {
    page += ".TP\n" + bold(info.name);
    if (info.kind != SettingKind::kSecret) page += ", " + bold(environment_name(info.name));
    page += "\n" + roff(info.help);
    if (!info.default_value.empty()) page += " (default " + roff(info.default_value) + ")";
    page += info.effect == SettingEffect::kAtOnce ? "; takes effect at once.\n" : ".\n";
  }
  page += ".SH ENVIRONMENT\n";
  page +=
      ".TP\n" + bold("MLXD_HOME") + "\nThe state folder, where " + bold("--home") + " does not name it.\n";
  page += ".TP\n" + bold("HF_HOME") + ", " + bold("HF_HUB_CACHE") + ", " + bold("HF_ENDPOINT") + ", " +
          bold("HF_TOKEN") + ", " + bold("HF_TOKEN_PATH") + ", " + bold("HF_HUB_OFFLINE") +
          "\nAs huggingface_hub reads them.\n";
  page += ".TP\n" + bold("NO_COLOR") + "\nNo colours, also at a terminal.\n";
  page += ".SH FILES\n";
  page += ".TP\n" + italic("~/.mlxd") + "\nThe state folder: " + italic("mlxd.db") + ", " +
          italic("secret.key") + ", " + italic("config.toml") + ", " + italic("models/") + ", " +
          italic("adapters/") + ", " + italic("logs/") + ".\n";
  page += ".SH EXIT STATUS\n0: done; 1: it failed; 2: the command line was wrong.\n";
  return page;
}

}  // namespace mlxd::cli
