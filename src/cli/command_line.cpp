#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "base/log.h"
#include "base/nearest_names.h"
#include "cli/chat_preferences.h"
#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/format.h"
#include "cli/hub_commands.h"
#include "cli/launch_plan.h"
#include "cli/man_page.h"

namespace mlxd::cli {
namespace {

std::string flag_name(std::string_view setting) {
  std::string name(setting);
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

// Flags for settings of the server; what was given goes to `flags` when the command line has been read.
void add_settings(CLI::App* command, const std::vector<std::string_view>& names, FlagValues& flags) {
  for (const SettingInfo& info : setting_infos()) {
    if (std::find(names.begin(), names.end(), info.name) == names.end()) continue;
    const std::string name(info.name);
    const std::string help =
        std::string(info.help) + " (" + environment_name(info.name) +
        (info.default_value.empty() ? "" : "; default " + std::string(info.default_value)) + ")";
    // One that is on by itself needs a value to be switched off.
    if (info.kind == SettingKind::kSwitch && info.default_value == "false") {
      command->add_flag_callback(
          "--" + name, [&flags, name] { flags[name] = {"true"}; }, help);
      continue;
    }
    CLI::Option* option = command->add_option_function<std::vector<std::string>>(
        "--" + name, [&flags, name](const std::vector<std::string>& values) { flags[name] = values; }, help);
    option->type_name(std::string(info.placeholder));
    // One value each time, so that what follows is not swallowed; how often is checked with the setting.
    option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->allow_extra_args(false);
  }
}

void add_serve(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = add_command(root, parsed, "serve", "Serve models over HTTP", options, serve_command);
  std::vector<std::string_view> all;
  for (const SettingInfo& info : setting_infos())
    if (info.kind != SettingKind::kSecret) all.push_back(info.name);
  add_settings(command, all, options->flags);
  command->footer(
      "Each flag is also a variable of the environment and a key of config.toml in the state folder\n"
      "(port = 8080). Flags win over the environment, that over the file, that over what 'mlxd config\n"
      "set' has stored. Without --model the only or last used model is loaded at once; those in the\n"
      "state folder are loaded when first asked for.");
}

void add_run(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command =
      add_command(root, parsed, "run", "Chat with a model, or answer one prompt", options, run_command);
  command
      ->add_option("words", options->words, "model (default: the only or last used one) and what to ask it")
      ->type_name("[MODEL] [PROMPT]")
      ->expected(0, 2);
  for (const ChatSettingInfo& info : chat_setting_infos()) {
    const std::string name(info.name);
    if (name == "verbose") {
      command->add_flag_callback(
          "--verbose,-v", [options, name] { options->chat_settings.emplace_back(name, "on"); },
          "counts and speed after each answer");
      continue;
    }
    command
        ->add_option_function<std::vector<std::string>>(
            flag_name(name),
            [options, name](const std::vector<std::string>& values) {
              for (const std::string& value : values) options->chat_settings.emplace_back(name, value);
            },
            std::string(info.help))
        ->type_name(name == "system" || name == "stop" ? "TEXT" : "NUMBER")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false);
  }
  add_settings(command,
               {"backend", "threads", "context", "memory", "kv-format", "activations", "quantize",
                "quantize-group", "speculation", "draft-model"},
               options->flags);
  command->footer(
      "At a terminal without a prompt this is a conversation; /help shows its commands. Otherwise the\n"
      "prompt, and all of standard input after it, is answered once: echo \"Why?\" | mlxd run");
}

void add_import(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<ImportCommandOptions>();
  CLI::App* command =
      add_command(root, parsed, "import", "Make a model folder of a GGUF file", options, import_command);
  command->add_option("file", options->file, "GGUF file")->type_name("FILE.gguf")->required();
  command->add_option("--name", options->name, "name of the model (default: the file's)")->type_name("NAME");
  command->add_flag("--force", options->force, "replace a model of the same name");
  command->footer("The last line printed is the model's folder.");
}

void add_list_and_show(CLI::App& root, Parsed& parsed) {
  auto list = std::make_shared<ListOptions>();
  add_command(root, parsed, "list", "List the models on this machine", list, list_command)
      ->add_flag("--json", list->json, "print JSON");

  auto show = std::make_shared<ShowOptions>();
  CLI::App* command = add_command(root, parsed, "show", "Show what a model is", show, show_command);
  command->add_option("model", show->model, "name or folder")->type_name("MODEL")->required();
  command->add_flag("--json", show->json, "print JSON");
}

void add_ps_and_stop(CLI::App& root, Parsed& parsed) {
  auto ps = std::make_shared<PsOptions>();
  CLI::App* list =
      add_command(root, parsed, "ps", "List the models that a server has loaded", ps, ps_command);
  list->add_flag("--watch,-w", ps->watch, "again every second, until Ctrl-C");
  list->add_flag("--json", ps->json, "print JSON");

  auto stop = std::make_shared<StopOptions>();
  CLI::App* command =
      add_command(root, parsed, "stop", "Unload a model from a running server", stop, stop_command);
  command->add_option("model", stop->model, "name")->type_name("MODEL")->required();
  command->add_flag("--now", stop->now, "end what it is answering, instead of waiting for it");
}

// A flag that may be given several times, one value each, so that what follows is not swallowed.
template <typename Value>
void add_repeated(CLI::App* command, const std::string& name, std::vector<Value>& values,
                  const std::string& help, const std::string& type_name) {
  command->add_option(name, values, help)
      ->type_name(type_name)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

void add_hub_commands(CLI::App& root, Parsed& parsed) {
  auto pull = std::make_shared<PullOptions>();
  CLI::App* command =
      add_command(root, parsed, "pull", "Download a model from the Hugging Face hub", pull, pull_command);
  command->add_option("model", pull->model, "ORG/NAME, or ORG/NAME@REVISION")->type_name("MODEL")->required();
  command->add_option("--revision", pull->revision, "branch, tag or commit (default main)")
      ->type_name("NAME");
  add_repeated(command, "--include", pull->patterns,
               "files to take instead of those that a model needs, e.g. '*.gguf'", "PATTERN");
  command->add_flag("--json", pull->json, "print JSON");
  command->footer(
      "Goes into the cache of huggingface_hub (HF_HUB_CACHE, HF_HOME), where other programs find it too. "
      "What\n"
      "was stopped goes on where it stood when it is run again. HF_ENDPOINT names a mirror, HF_TOKEN or the\n"
      "file HF_TOKEN_PATH the token of private and gated models. The last line printed is the model's "
      "folder.");

  auto search = std::make_shared<SearchOptions>();
  command =
      add_command(root, parsed, "search", "Search the Hugging Face hub for models", search, search_command);
  command->add_option("text", search->text, "what the name contains")->type_name("TEXT");
  command->add_option("--author", search->author, "organisation or user")->type_name("NAME");
  add_repeated(command, "--tag", search->tags, "a tag that they must have", "TAG");
  command->add_option("--sort", search->sort, "trending (default), downloads, likes, modified or created")
      ->type_name("ORDER");
  command->add_option("--limit", search->limit, "how many (default 20)")
      ->type_name("N")
      ->check(CLI::Range(1, 100));
  command->add_flag("--all", search->all, "also models that are not in MLX's format");
  CLI::Option* recommended =
      command->add_flag("--recommended", search->recommended,
                        "models to begin with, and which of them fit this machine; asks no hub");
  for (CLI::Option* other : command->get_options()) {
    const bool is_common = other->check_lname("home") || other->check_lname("help");
    if (other != recommended && !is_common) recommended->excludes(other);
  }
  command->add_flag("--json", search->json, "print JSON");

  auto remove = std::make_shared<RemoveOptions>();
  command = add_command(root, parsed, "rm", "Remove a model from this machine", remove, remove_command);
  command->add_option("model", remove->model, "its whole name, or ORG/NAME@REVISION")
      ->type_name("MODEL")
      ->required();
  command->add_flag("--added", remove->added, "also from a folder that the setting models-folder adds");
  command->add_flag("--json", remove->json, "print JSON");
  command->footer("Of a model from the hub only files that no other revision uses are removed.");
}

// What makes `bench` put a load on a model or on servers instead of its fixed measurement.
void add_bench_load(CLI::App* command, BenchCommandOptions& options) {
  const CLI::Range sizes(1, 1 << 20);
  command
      ->add_option("--workload", options.workload, "closed, poisson, shared-prefix, repeating or multi-turn")
      ->type_name("NAME");
  add_repeated(command, "--url", options.urls, "a server to measure; twice: two to compare", "URL");
  add_repeated(command, "--model", options.server_models,
               "the server's model (default: its only one); once for each --url, or for both", "NAME");
  command
      ->add_option("--requests", options.requests, "of each run; of multi-turn: conversations (default 16)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command->add_option("--rate", options.rate_per_s, "poisson: requests a second (default 4)")
      ->type_name("R")
      ->check(CLI::Range(0.001, 1000.0));
  command->add_option("--shared", options.shared_tokens, "shared-prefix: tokens common to all (default 1024)")
      ->type_name("N")
      ->check(sizes);
  command->add_option("--turns", options.turns, "multi-turn: questions of a conversation (default 4)")
      ->type_name("N")
      ->check(CLI::Range(1, 100));
  command
      ->add_option("--ban", options.banned_tokens,
                   "token ids that servers must not make, so that nothing ends early")
      ->type_name("ID,…")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  command->add_option("--time-limit", options.time_limit_s, "seconds after which to stop (default 600)")
      ->type_name("S")
      ->check(CLI::Range(1, 24 * 3600));
}

void add_bench(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<BenchCommandOptions>();
  CLI::App* command =
      add_command(root, parsed, "bench", "Measure a model's or a server's speed", options, bench_command);
  command->add_option("model", options->model, "name or folder (default: the only or last used one)")
      ->type_name("MODEL");
  command
      ->add_option("--prompt", options->prompt_tokens,
                   "tokens of each prompt, of the longest or of each new text (default 512 or 64)")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--tokens", options->tokens, "tokens to make in each stream (default 128)")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
  command
      ->add_option("--concurrency", options->concurrency,
                   "numbers of streams, e.g. 1,2,4 (default 1; with a workload 4)")
      ->type_name("N,…")
      ->delimiter(',')
      ->check(CLI::Range(1, 64));
  command->add_option("--rounds", options->rounds, "measurements, of which the median counts (default 3)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command->add_option("--seed", options->seed, "of prompts and arrivals (default 1)")->type_name("N");
  command->add_flag("--profile", options->profile,
                    "also where the time of steps goes, beside this machine's limits");
  command->add_option("--temperature", options->temperature, "of the answers, drawn by the seed (default 0)")
      ->type_name("T")
      ->check(CLI::Range(0.0, 2.0));
  command->add_flag("--json", options->json, "print JSON");
  add_bench_load(command, *options);
  add_settings(command,
               {"backend", "threads", "kv-format", "activations", "quantize", "quantize-group", "speculation",
                "draft-model"},
               options->flags);
  command->footer(
      "Without --workload and --url prompts are random tokens and nothing ends an answer early, as in\n"
      "llama-bench (pp, tg) and llama-batched-bench, and nothing is guessed ahead unless --speculation\n"
      "asks for it. With them requests of random words are sent as the\n"
      "workload says, the same to each target: to the model in this process, or to OpenAI-compatible\n"
      "servers. A warm-up is not counted.");
}

void add_convert(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<ConvertCommandOptions>();
  CLI::App* command = add_command(root, parsed, "convert", "Quantize a model, or change its format", options,
                                  convert_command);
  command->add_option("source", options->source, "name or folder")->type_name("MODEL")->required();
  command->add_option("--out", options->out, "folder to make, e.g. ~/.mlxd/models/NAME")
      ->type_name("FOLDER")
      ->required();
  command->add_option("--bits", options->bits, "of each weight: 2, 3, 4, 5, 6 or 8")->type_name("N");
  command->add_option("--group", options->group_size, "weights that share a scale: 32, 64 (default) or 128")
      ->type_name("N");
  command->add_option("--mode", options->mode, "affine (default), mxfp4, mxfp8 or nvfp4, which say the rest")
      ->type_name("MODE");
  command
      ->add_option("--mixed", options->recipe,
                   "mixed_2_6, mixed_3_4, mixed_3_6 or mixed_4_6, instead of --bits")
      ->type_name("RECIPE");
  command
      ->add_option("--dtype", options->dtype,
                   "of scales and plain tensors: float16, bfloat16 or float32 (default: the model's)")
      ->type_name("TYPE");
  command
      ->add_option("--scales", options->scales,
                   "mlx (default), or least-squares: slower, and nearer to the weights")
      ->type_name("RULE");
  command->add_flag("--dequantize", options->dequantize, "store plain floats");
  command->add_flag("--force", options->force, "replace a model that is there");
  command->add_option("--perplexity", options->perplexity_file, "a text to measure both models on")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "print JSON");
  add_settings(command, {"backend", "threads", "kv-format", "activations"}, options->flags);
  command->footer(
      "What is quantized, and to which codes, is as in mlx_lm.convert. A source that is quantized already "
      "is\n"
      "quantized anew from the values of its codes, but for layers that have the form asked for: these are\n"
      "copied. The last line printed is the new folder.");
}

void add_probe(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<ProbeCommandOptions>();
  CLI::App* command = add_command(root, parsed, "probe", "Find out by experiment what a model can do",
                                  options, probe_command);
  command->add_option("model", options->model, "name or folder (default: the only or last used one)")
      ->type_name("MODEL");
  command->add_flag("--all", options->all, "every model of this machine, one after the other");
  command->add_option("--save", options->save, "keep each report as a JSON file in this folder")
      ->type_name("FOLDER");
  command
      ->add_option(
          "--audit", options->audit,
          "compare with the reports kept in this folder; exit status 1 if a model is not what it was")
      ->type_name("FOLDER");
  command->add_flag("--json", options->json, "print JSON");
  add_settings(command, {"backend", "threads", "context", "kv-format", "activations"}, options->flags);
  command->footer(
      "The model is loaded apart from any running server. It is asked a few questions at temperature 0: how\n"
      "long a text it takes, whether it ends, reasons, calls tools and keeps to a form, and how fast it is.\n"
      "Lines that begin with ! say where that differs from what its family is taken to do.");
}

void add_perplexity(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<PerplexityCommandOptions>();
  CLI::App* command = add_command(root, parsed, "perplexity", "Measure how well a model predicts a text",
                                  options, perplexity_command);
  command->add_option("model", options->model, "name or folder")->type_name("MODEL")->required();
  command->add_option("file", options->file, "UTF-8 text of up to 16 MiB")->type_name("FILE")->required();
  command
      ->add_option("--context", options->context_tokens,
                   "tokens of a window (default 1024, or the model's context if shorter)")
      ->type_name("N")
      ->check(CLI::Range(2, 1 << 24));
  command
      ->add_option("--stride", options->stride_tokens,
                   "tokens from one window's beginning to the next's (default: half the context)")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 24));
  command->add_flag("--reference", options->reference, "compute everything in fp32, slowly");
  command->add_flag("--json", options->json, "print JSON");
  add_settings(command, {"backend", "threads", "kv-format", "activations", "quantize", "quantize-group"},
               options->flags);
  command->footer(
      "Windows of --context tokens slide over the text by --stride; each token is scored once, with at\n"
      "least context - stride tokens before it but for those of the first window. Perplexities compare\n"
      "only over the same text, tokenizer, context and stride.");
}

void add_launch(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<LaunchOptions>();
  CLI::App* command = add_command(root, parsed, "launch", "Start a coding agent that uses this server",
                                  options, launch_command);
  std::string names;
  std::string list;
  for (const AgentInfo& agent : agents()) {
    names += (names.empty() ? "" : ", ") + std::string(agent.name);
    list += "  " + std::string(agent.name) + std::string(12 - agent.name.size(), ' ') +
            std::string(agent.title) + "\n";
  }
  command->add_option("agent", options->agent, "which: " + names)->type_name("AGENT")->required();
  command->add_option("--model", options->model, "model (default: a loaded one, or the only one)")
      ->type_name("MODEL");
  command->add_option("--key", options->key, "API key (MLXD_KEY; none is needed before there are accounts)")
      ->type_name("KEY");
  command->add_flag("--print", options->print, "print the command line instead of running it");
  command->prefix_command();
  command->callback([&parsed, options, command] {
    options->arguments = command->remaining();
    if (!options->arguments.empty() && options->arguments.front() == "--")
      options->arguments.erase(options->arguments.begin());
    parsed.command = [options](const CommandContext& context) { return launch_command(context, *options); };
  });
  command->footer("Agents:\n" + list +
                  "What follows the agent's name and this command's own options is for the agent:\n"
                  "mlxd launch claude --model NAME -p \"Explain this repository\"");
}

void add_service(CLI::App& root, Parsed& parsed) {
  auto options = std::make_shared<ServiceOptions>();
  CLI::App* command = add_command(root, parsed, "service", "Run the server at login, in the background",
                                  options, service_command);
  command->add_option("action", options->action, "install, uninstall or status")
      ->type_name("ACTION")
      ->required()
      ->check(CLI::IsMember({"install", "uninstall", "status"}));
  add_settings(command, {"host", "port", "model", "backend", "threads", "context", "memory"}, options->flags);
  command->footer(
      "A systemd user unit on Linux, a launchd agent on macOS. Settings given here are those of the\n"
      "service; all others come from config.toml and what 'mlxd config set' has stored.");
}

void add_completion(CLI::App& root, Parsed& parsed) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = root.add_subcommand("completion", "Print a script that completes commands in a shell");
  command->add_option("shell", *shell, "bash, zsh or fish")->type_name("SHELL")->required();
  command->callback([&root, &parsed, shell] {
    parsed.command = [&root, shell](const CommandContext& context) -> Result<int> {
      context.console.write(TRY(completion_script(root, *shell)));
      return kExitOk;
    };
  });
  command->footer(
      "  bash   source <(mlxd completion bash)   in ~/.bashrc\n"
      "  zsh    source <(mlxd completion zsh)    in ~/.zshrc\n"
      "  fish   mlxd completion fish > ~/.config/fish/completions/mlxd.fish");
}

void add_man(CLI::App& root, Parsed& parsed) {
  CLI::App* command = root.add_subcommand("man", "Print the manual page, for man -l");
  command->callback([&root, &parsed] {
    parsed.command = [&root](const CommandContext& context) -> Result<int> {
      context.console.write(man_page(root, MLXD_VERSION));
      return kExitOk;
    };
  });
  command->footer("  mlxd man > ~/.local/share/man/man1/mlxd.1");
}

void add_small_commands(CLI::App& root, Parsed& parsed) {
  auto doctor = std::make_shared<DoctorOptions>();
  add_command(root, parsed, "doctor", "Find what is wrong with this installation", doctor, doctor_command)
      ->add_flag("--json", doctor->json, "print JSON");
  auto version = std::make_shared<VersionOptions>();
  add_command(root, parsed, "version", "Show version, compiler and libraries", version, version_command)
      ->add_flag("--json", version->json, "print JSON");
}

// "The following argument was not expected: --x" → house style, with the way to help.
std::string usage_message(const CLI::App& root, const CLI::ParseError& error) {
  std::string message = error.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  if (!message.empty() && message[0] >= 'A' && message[0] <= 'Z')
    message = to_lower(message.substr(0, 1)) + message.substr(1);
  std::string command = "mlxd";
  for (const CLI::App* used : root.get_subcommands()) command += " " + used->get_name();
  return std::string(trim(message)) + " (see '" + command + " --help')";
}

// A first word that is no command gets the nearest ones, before CLI11 takes it for a stray argument.
bool is_unknown_command(const CLI::App& root, int argc, const char* const* argv, std::string& message) {
  if (argc < 2 || argv[1][0] == '-') return false;
  std::vector<std::string> names;
  for (const CLI::App* command : root.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == argv[1]) return false;
    names.push_back(command->get_name());
  }
  const auto nearest = nearest_names(argv[1], names, 1);
  message =
      "unknown command '" + std::string(argv[1]) + "'" +
      (nearest.empty() || !is_slip(argv[1], nearest.front()) ? ""
                                                             : ": did you mean '" + nearest.front() + "'?") +
      " (see 'mlxd --help')";
  return true;
}

int finish(Console& console, int code) {
  if (console.out_ok()) return code;
  // A reader that has seen enough is no news; a full disk is.
  if (console.write_errno() != EPIPE)
    console.report_error("cannot write to standard output: " +
                         std::generic_category().message(console.write_errno()));
  return kExitFailure;
}

}  // namespace

int run_command_line(int argc, const char* const* argv) {
  // A closed pipe shows as a failed write, which each command handles.
  std::signal(SIGPIPE, SIG_IGN);
  Console console;

  Parsed parsed;
  CLI::App root("Runs MLX models on this machine: in the terminal, and for other programs over HTTP.",
                "mlxd");
  root.get_formatter()->column_width(34);
  bool wants_version = false;
  root.add_flag("--version", wants_version, "show version, compiler and libraries");
  add_serve(root, parsed);
  add_run(root, parsed);
  add_import(root, parsed);
  add_hub_commands(root, parsed);
  add_list_and_show(root, parsed);
  add_ps_and_stop(root, parsed);
  add_bench(root, parsed);
  add_convert(root, parsed);
  add_perplexity(root, parsed);
  add_probe(root, parsed);
  add_manage_commands(root, parsed);
  add_launch(root, parsed);
  add_service(root, parsed);
  add_completion(root, parsed);
  add_man(root, parsed);
  add_small_commands(root, parsed);
  root.require_subcommand(0, 1);

  if (std::string message; is_unknown_command(root, argc, argv, message)) {
    console.report_error(message);
    return kExitUsage;
  }
  try {
    root.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    console.write(root.help());  // of the subcommand that was named, if any
    return finish(console, kExitOk);
  } catch (const CLI::ParseError& error) {
    console.report_error(usage_message(root, error));
    return kExitUsage;
  } catch (const std::exception& error) {
    console.report_error(error.what());
    return kExitUsage;
  }
  if (wants_version) {
    parsed.command = [](const CommandContext& context) { return version_command(context, {}); };
  } else if (!parsed.command) {
    console.write(root.help());
    return finish(console, kExitOk);
  }

  // Only warnings and worse, unless a command says otherwise: standard error is for people here.
  if (const auto configured = log::configure("warn"); !configured)
    console.report_error(configured.error().message);
  const std::optional<std::string> home = parsed.home.empty() ? std::nullopt : std::optional(parsed.home);
  const auto code = parsed.command({console, StateFolder::locate(home)});
  if (!code) {
    console.report_error(code.error().message);
    return kExitFailure;
  }
  return finish(console, *code);
}

}  // namespace mlxd::cli
