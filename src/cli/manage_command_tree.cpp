// The flags of the commands that manage: user, key, config, profile.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/command_tree.h"

namespace mlxd::cli {
namespace {

// `mlxd GROUP VERB …`: the verb ends up in the options.
template <typename Options, typename Run>
CLI::App* add_verb(CLI::App* group, Parsed& parsed, const std::string& verb, const std::string& help,
                   const std::shared_ptr<Options>& options, Run run) {
  return add_command(*group, parsed, verb, help, options,
                     [verb, run](const CommandContext& context, const Options& given) {
                       Options with_verb = given;
                       with_verb.verb = verb;
                       return run(context, with_verb);
                     });
}

CLI::App* add_group(CLI::App& root, const std::string& name, const std::string& help) {
  CLI::App* group = root.add_subcommand(name, help);
  group->require_subcommand(1);
  return group;
}

void add_json(CLI::App* command, bool& json) { command->add_flag("--json", json, "print JSON"); }

void add_user(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<UserOptions>();
  CLI::App* group = add_group(root, "user", "Accounts of this server");
  add_json(add_verb(group, parsed, "list", "List the accounts", options, user_command), options->json);
  const auto add_one = [&](const char* verb, const char* help) {
    CLI::App* command = add_verb(group, parsed, verb, help, options, user_command);
    command->add_option("email", options->email, "its e-mail address")->type_name("EMAIL")->required();
    return command;
  };
  CLI::App* add = add_one("add", "Make an account; the first is an administrator's");
  add->add_option("--name", options->name, "of the person")->type_name("NAME");
  add->add_option("--role", options->role, "admin, user or viewer (default user)")->type_name("ROLE");
  add->footer("The password is asked for at a terminal, and read from standard input otherwise.");
  add_json(add, options->json);
  add_one("approve", "Let an account in that waits for approval");
  add_one("disable", "Lock an account out: its sessions end, its keys do not work");
  add_one("enable", "Let a disabled account in again");
  add_one("role", "Change what an account may do")
      ->add_option("role", options->role, "admin, user or viewer")
      ->type_name("ROLE")
      ->required();
  add_one("delete", "Remove an account with its keys and chats")
      ->add_flag("--yes", options->yes, "do not ask");
  add_one("reset-password", "Give an account a new password, which ends its sessions")
      ->footer("The password is asked for at a terminal, and read from standard input otherwise.");
}

void add_key(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<KeyOptions>();
  CLI::App* group = add_group(root, "key", "API keys of this server");
  add_json(add_verb(group, parsed, "list", "List the keys", options, key_command), options->json);
  CLI::App* create =
      add_verb(group, parsed, "create", "Make a key, which is shown this once", options, key_command);
  create->add_option("name", options->key, "what it is for")->type_name("NAME")->required();
  create->add_option("--user", options->user, "whose (default: the only account)")->type_name("EMAIL");
  create->add_option("--model", options->models, "may use this one only; may be repeated; NAME* for several")
      ->type_name("NAME")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  create->add_option("--endpoint", options->endpoints, "may use this path only; may be repeated")
      ->type_name("PATH")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  create->add_flag("--admin", options->admin, "may do all that its account may, not only generate");
  create->add_flag("--cloud", options->cloud, "may be answered by a cloud provider");
  create->add_option("--priority", options->priority, "high, normal (default) or low")->type_name("LEVEL");
  const CLI::Range any(std::int64_t{0}, std::int64_t{1} << 53);
  const auto add_number = [&](const char* flag, std::int64_t& number, const char* help) {
    create->add_option(flag, number, help)->type_name("N")->check(any);
  };
  add_number("--expires-days", options->expires_days, "ends after so many days");
  add_number("--requests-per-minute", options->requests_per_minute, "most requests in a minute");
  add_number("--tokens-per-minute", options->tokens_per_minute, "most tokens in a minute");
  add_number("--concurrent", options->max_concurrent, "most requests at once");
  add_number("--tokens-per-month", options->tokens_per_month, "most tokens in a calendar month");
  add_json(create, options->json);
  add_verb(group, parsed, "revoke", "End a key", options, key_command)
      ->add_option("key", options->key, "its id, its name, or how it begins")
      ->type_name("KEY")
      ->required();
}

void add_config(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<ConfigOptions>();
  CLI::App* group = root.add_subcommand("config", "Show and change settings");
  group->require_subcommand(0, 1);
  group->add_option("--home", parsed.home, "state folder (MLXD_HOME; default ~/.mlxd)")->type_name("FOLDER");
  add_json(group, options->json);
  group->callback([group, &parsed, options] {
    if (!group->get_subcommands().empty()) return;
    parsed.command = [options](const CommandContext& context) { return config_command(context, *options); };
  });
  add_json(
      add_verb(group, parsed, "list", "Show each setting and where it comes from", options, config_command),
      options->json);
  const auto add_one = [&](const char* verb, const char* help) {
    CLI::App* command = add_verb(group, parsed, verb, help, options, config_command);
    command->add_option("name", options->name, "of the setting")->type_name("NAME")->required();
    return command;
  };
  add_json(add_one("get", "Show one setting"), options->json);
  add_one("set", "Store a value; flags, MLXD_* variables and config.toml win over it")
      ->add_option("value", options->value, "the value (default: standard input)")
      ->type_name("VALUE");
  add_one("unset", "Forget the stored value");
}

void add_profile(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<ProfileOptions>();
  CLI::App* group = add_group(root, "profile", "Profiles: models with defaults under a name of their own");
  add_json(add_verb(group, parsed, "list", "List the profiles", options, profile_command), options->json);
  const auto add_one = [&](const char* verb, const char* help) {
    CLI::App* command = add_verb(group, parsed, verb, help, options, profile_command);
    command->add_option("name", options->name, "of the profile")->type_name("NAME")->required();
    return command;
  };
  add_one("export", "Print a profile as TOML");
  add_verb(group, parsed, "import", "Make a profile of a TOML file", options, profile_command)
      ->add_option("file", options->name, "the file; - is standard input")
      ->type_name("FILE")
      ->required();
  add_one("duplicate", "Copy a profile")
      ->add_option("--as", options->new_name, "name of the copy")
      ->type_name("NAME");
  add_one("delete", "Remove a profile");
}

}  // namespace

void add_manage_commands(CLI::App& root, Parsed& parsed) {
  add_user(root, parsed);
  add_key(root, parsed);
  add_profile(root, parsed);
  add_config(root, parsed);
}

}  // namespace mlxd::cli
