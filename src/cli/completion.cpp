// Completion scripts are made of the command tree itself, so that they know what the program knows.
#include "cli/completion.h"

#include <algorithm>
#include <string>
#include <vector>

namespace mlxd::cli {
namespace {

struct Words {
  std::string command;  // "" is mlxd itself, "user add" one below another
  std::string help;
  std::vector<std::string> subcommands = {};
  std::vector<std::string> flags = {};
};

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

void collect(const CLI::App& app, const std::string& path, std::vector<Words>& all) {
  Words words{.command = path, .help = first_line(app.get_description())};
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.flags.push_back("--" + name);
    for (const std::string& name : option->get_snames()) words.flags.push_back("-" + name);
  }
  const auto below = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* command : below) words.subcommands.push_back(command->get_name());
  all.push_back(words);
  for (const CLI::App* command : below)
    collect(*command, path.empty() ? command->get_name() : path + " " + command->get_name(), all);
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// Commands whose next word is a model's name.
constexpr std::string_view kTakesModel = "run|show|rm|stop|bench|convert|perplexity|probe";

std::string bash(const std::vector<Words>& all) {
  std::string text =
      "# bash completion for mlxd; put it into ~/.bashrc: source <(mlxd completion bash)\n"
      "_mlxd() {\n"
      "  local word=\"${COMP_WORDS[COMP_CWORD]}\" path=\"\" i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case \"$path ${COMP_WORDS[i]}\" in\n";
  for (const Words& words : all) {
    if (!words.command.empty())
      text += "      \" " + words.command + "\") path=\" " + words.command + "\" ;;\n";
  }
  // What one level names, the next begins with.
  text +=
      "    esac\n"
      "  done\n"
      "  local words=\"\"\n"
      "  case \"${path# }\" in\n";
  for (const Words& words : all)
    text += "    \"" + words.command + "\") words=\"" + joined(words.subcommands) +
            (words.subcommands.empty() ? "" : " ") + joined(words.flags) + "\" ;;\n";
  text +=
      "  esac\n"
      "  case \"${path# }\" in\n"
      "    " +
      std::string(kTakesModel) +
      ") [[ $word == -* ]] || words=\"$(mlxd list --json 2>/dev/null | sed -n 's/^ *\"name\": "
      "\"\\(.*\\)\",*$/\\1/p')\" ;;\n"
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "  ((${#COMPREPLY[@]})) || COMPREPLY=($(compgen -f -- \"$word\"))\n"
      "}\n"
      "complete -o filenames -F _mlxd mlxd\n";
  return text;
}

std::string zsh(const std::vector<Words>& all) {
  return "#compdef mlxd\n"
         "# zsh completion for mlxd; put it into ~/.zshrc: source <(mlxd completion zsh)\n"
         "autoload -U +X bashcompinit && bashcompinit\n" +
         bash(all).substr(bash(all).find('\n') + 1);
}

std::string quoted(std::string text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("\\'") : std::string(1, c);
  return out + "'";
}

std::string fish(const std::vector<Words>& all) {
  std::string text =
      "# fish completion for mlxd: mlxd completion fish > ~/.config/fish/completions/mlxd.fish\n";
  const auto help_of = [&all](const std::string& command) {
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const Words& words) { return words.command == command; });
    return found == all.end() ? std::string() : found->help;
  };
  for (const Words& words : all) {
    std::string condition = "__fish_use_subcommand";
    if (!words.command.empty()) {
      condition.clear();
      std::string rest = words.command;
      while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(' '), rest.size());
        condition +=
            (condition.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + rest.substr(0, end));
        rest.erase(0, std::min(end + 1, rest.size()));
      }
    }
    for (const std::string& name : words.subcommands) {
      const std::string path = words.command.empty() ? name : words.command + " " + name;
      text +=
          "complete -c mlxd -n " + quoted(condition) + " -a " + name + " -d " + quoted(help_of(path)) + "\n";
    }
    for (const std::string& flag : words.flags) {
      const bool is_long = flag.starts_with("--");
      text += "complete -c mlxd -n " + quoted(condition) +
              (is_long ? " -l " + flag.substr(2) : " -s " + flag.substr(1)) + "\n";
    }
  }
  return text;
}

}  // namespace

Result<std::string> completion_script(const CLI::App& root, const std::string& shell) {
  std::vector<Words> all;
  collect(root, "", all);
  if (shell == "bash") return bash(all);
  if (shell == "zsh") return zsh(all);
  if (shell == "fish") return fish(all);
  return invalid_argument("completion is there for bash, zsh and fish, not for '" + shell + "'");
}

}  // namespace mlxd::cli
