#include "text/chat_template.h"

#include <algorithm>
#include <boost/json.hpp>
#include <ctime>
#include <utility>
#include <vector>

#include "text/json_file.h"
#include "text/template_messages.h"
#include "text/textkit_call.h"

namespace mlxd {

namespace json = boost::json;
using textkit::OwnedText;
using textkit::to_error;
using textkit::view_of;

struct ChatTemplate::Impl {
  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { textkit_template_free(handle); }

  TextkitTemplate* handle = nullptr;
  std::string source;
  json::object special_tokens;  // by name, those that the model has
};

namespace {

constexpr const char* kDefaultName = "default";

using NamedSources = std::vector<std::pair<std::string, std::string>>;

/// A string, which is the default, or a list of named ones.
Result<NamedSources> templates_in(const json::object& file, const std::filesystem::path& path) {
  const json::value* found = file.if_contains("chat_template");
  if (found == nullptr || found->is_null()) return NamedSources();
  if (found->is_string()) return NamedSources{{kDefaultName, std::string(found->as_string())}};
  NamedSources sources;
  const json::array* list = found->if_array();
  if (list == nullptr) return corrupt_data(path.string() + ": chat_template must be a string or a list");
  for (const json::value& item : *list) {
    const json::object* entry = item.if_object();
    const json::value* name = entry != nullptr ? entry->if_contains("name") : nullptr;
    const json::value* source = entry != nullptr ? entry->if_contains("template") : nullptr;
    if (name == nullptr || source == nullptr || !name->is_string() || !source->is_string()) {
      return corrupt_data(path.string() +
                          ": each entry of chat_template needs the strings name and template");
    }
    sources.emplace_back(std::string(name->as_string()), std::string(source->as_string()));
  }
  if (sources.size() == 1) sources.front().first = kDefaultName;
  return sources;
}

/// The files of additional_chat_templates/, each named after its template.
Result<void> add_template_files(const std::filesystem::path& folder, NamedSources& sources) {
  std::error_code error;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".jinja") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const std::filesystem::path& path : paths)
    sources.emplace_back(path.stem().string(), TRY(read_text_file(path)));
  return {};
}

/// What a folder has, from the first place that has any.
Result<NamedSources> find_sources(const std::filesystem::path& folder, const json::object& tokenizer_config) {
  NamedSources sources;
  auto jinja = read_text_file(folder / "chat_template.jinja");
  if (jinja) {
    sources.emplace_back(kDefaultName, jinja.take_value());
  } else if (jinja.error().kind != ErrorKind::kNotFound) {
    return jinja.take_error();
  }
  TRY(add_template_files(folder / "additional_chat_templates", sources));
  if (!sources.empty()) return sources;
  const std::filesystem::path file = folder / "chat_template.json";
  const json::object listed = TRY(read_json_file(file));
  sources = TRY(templates_in(listed, file));
  if (!sources.empty()) return sources;
  const std::filesystem::path config = folder / "tokenizer_config.json";
  sources = TRY(templates_in(tokenizer_config, config));
  if (!sources.empty()) return sources;
  return not_found(folder.string() +
                   " has no chat template: no chat_template.jinja, chat_template.json or "
                   "chat_template in tokenizer_config.json");
}

/// Every "…_token" that is a string or an added token's object; the first file that has it wins.
void take_special_tokens(const json::object& file, json::object& special_tokens) {
  for (const auto& [key, value] : file) {
    if (!key.ends_with("_token") || special_tokens.contains(key)) continue;
    const json::value* text = &value;
    if (const json::object* added = value.if_object()) text = added->if_contains("content");
    if (text != nullptr && text->is_string()) special_tokens.emplace(key, text->as_string());
  }
}

TextkitTime local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  long offset = 0;
  if (localtime_r(&now, &local) != nullptr) offset = local.tm_gmtoff;
  return {static_cast<std::int64_t>(now), static_cast<std::int32_t>(offset)};
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::open(const std::filesystem::path& folder) {
  auto templates = TRY(open_all(folder));
  const auto found = templates.find(kDefaultName);
  if (found == templates.end())
    return corrupt_data(folder.string() + ": chat_template has no entry named \"default\"");
  return std::move(found->second);
}

Result<std::map<std::string, ChatTemplate>> ChatTemplate::open_all(const std::filesystem::path& folder) {
  const json::object tokenizer_config = TRY(read_json_file(folder / "tokenizer_config.json"));
  const NamedSources sources = TRY(find_sources(folder, tokenizer_config));
  json::object special_tokens;
  take_special_tokens(tokenizer_config, special_tokens);
  // Folders written before 2024 name them only here.
  take_special_tokens(TRY(read_json_file(folder / "special_tokens_map.json")), special_tokens);
  std::map<std::string, ChatTemplate> templates;
  for (const auto& [name, source] : sources) {
    auto parsed = parse(source, {});
    if (!parsed) {
      Error error = parsed.take_error();
      error.message =
          folder.string() + ": " + (name == kDefaultName ? "" : "template " + name + ": ") + error.message;
      return error;
    }
    parsed->impl_->special_tokens = special_tokens;
    templates.emplace(name, parsed.take_value());
  }
  return templates;
}

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, SpecialTokens special_tokens) {
  auto impl = std::make_unique<Impl>();
  impl->source = source;
  OwnedText message;
  const TextkitStatus status = textkit_template_parse(view_of(source), &impl->handle, message.out());
  if (status != TEXTKIT_OK) return to_error(status, message);
  const auto add = [&](std::string_view name, const std::string& text) {
    if (!text.empty()) impl->special_tokens.emplace(name, text);
  };
  add("bos_token", special_tokens.bos_token);
  add("eos_token", special_tokens.eos_token);
  add("pad_token", special_tokens.pad_token);
  add("unk_token", special_tokens.unk_token);
  return ChatTemplate(std::move(impl));
}

const std::string& ChatTemplate::source() const { return impl_->source; }

Result<std::string> ChatTemplate::render(std::span<const Message> messages, const Options& options) const {
  return render_json(json::serialize(template_messages(messages, {})), options);
}

Result<std::string> ChatTemplate::render_json(std::string_view messages_json, const Options& options) const {
  // The caller's variables come last and win; the library keeps their order and takes the last of equal keys.
  json::object variables = impl_->special_tokens;
  variables["add_generation_prompt"] = options.add_generation_prompt;
  std::string merged = json::serialize(variables);
  const std::size_t open = options.extra_json.find_first_not_of(" \t\r\n");
  if (open == std::string::npos || options.extra_json[open] != '{') {
    return invalid_argument("template variables must be a JSON object");
  }
  const std::size_t first = options.extra_json.find_first_not_of(" \t\r\n", open + 1);
  if (first != std::string::npos && options.extra_json[first] != '}') {
    merged.back() = ',';
    merged.append(options.extra_json, open + 1);
  } else if (first == std::string::npos ||
             options.extra_json.find_first_not_of(" \t\r\n", first + 1) != std::string::npos) {
    return invalid_argument("template variables must be a JSON object");
  }
  return textkit::call_for_text([&](TextkitText* output, TextkitText* error) {
    return textkit_template_render(impl_->handle, view_of(messages_json), view_of(merged), local_time(),
                                   output, error);
  });
}

}  // namespace mlxd
