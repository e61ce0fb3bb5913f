#include "text/chat_template.h"

#include <boost/json.hpp>
#include <ctime>

#include "base/mapped_file.h"
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
  json::object special_tokens;  // by name, those that the model has
};

namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20;

/// Boost's own limit of 32 levels is below what configuration files may hold.
json::parse_options deep_options() {
  json::parse_options options;
  options.max_depth = 200;
  return options;
}

Result<std::string> read_text(const std::filesystem::path& path) {
  const MappedFile file = TRY(MappedFile::open(path));
  const auto bytes = file.bytes();
  if (bytes.size() > kMaxFileBytes) {
    return Error(ErrorKind::kTooLarge, path.string() + " has " + std::to_string(bytes.size()) +
                                           " bytes, more than the " + std::to_string(kMaxFileBytes) +
                                           " accepted");
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// The object in a file; empty if there is no such file.
Result<json::object> read_object(const std::filesystem::path& path) {
  auto text = read_text(path);
  if (!text) {
    if (text.error().kind == ErrorKind::kNotFound) return json::object();
    return text.take_error();
  }
  boost::system::error_code failure;
  json::value value = json::parse(text.value(), failure, {}, deep_options());
  if (failure || !value.is_object()) {
    return corrupt_data(path.string() + " is not a JSON object" + (failure ? ": " + failure.message() : ""));
  }
  return std::move(value.as_object());
}

/// A string, or the first of a list: the one named "default", else the only one.
Result<std::string> template_in(const json::object& file, const std::filesystem::path& path) {
  const json::value* found = file.if_contains("chat_template");
  if (found == nullptr || found->is_null()) return not_found(path.string() + " has no chat_template");
  if (found->is_string()) return std::string(found->as_string());
  std::vector<std::string> sources;
  if (const json::array* list = found->if_array()) {
    for (const json::value& item : *list) {
      const json::object* entry = item.if_object();
      const json::value* name = entry != nullptr ? entry->if_contains("name") : nullptr;
      const json::value* source = entry != nullptr ? entry->if_contains("template") : nullptr;
      if (name == nullptr || source == nullptr || !name->is_string() || !source->is_string()) {
        return corrupt_data(path.string() +
                            ": each entry of chat_template needs the strings name and template");
      }
      if (name->as_string() == "default") return std::string(source->as_string());
      sources.emplace_back(source->as_string());
    }
    if (sources.size() == 1) return sources.front();
    return corrupt_data(path.string() + ": chat_template has no entry named \"default\"");
  }
  return corrupt_data(path.string() + ": chat_template must be a string or a list");
}

Result<std::string> find_source(const std::filesystem::path& folder, const json::object& tokenizer_config) {
  auto jinja = read_text(folder / "chat_template.jinja");
  if (jinja || jinja.error().kind != ErrorKind::kNotFound) return jinja;
  const json::object file = TRY(read_object(folder / "chat_template.json"));
  if (!file.empty()) return template_in(file, folder / "chat_template.json");
  auto source = template_in(tokenizer_config, folder / "tokenizer_config.json");
  if (!source && source.error().kind == ErrorKind::kNotFound) {
    return not_found(folder.string() +
                     " has no chat template: no chat_template.jinja, chat_template.json or "
                     "chat_template in tokenizer_config.json");
  }
  return source;
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

json::object to_json(const Message& message) {
  json::object object;
  object["role"] = to_string(message.role);
  object["content"] = message.content;
  if (!message.name.empty()) object["name"] = message.name;
  if (!message.tool_call_id.empty()) object["tool_call_id"] = message.tool_call_id;
  return object;
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::open(const std::filesystem::path& folder) {
  const json::object tokenizer_config = TRY(read_object(folder / "tokenizer_config.json"));
  const std::string source = TRY(find_source(folder, tokenizer_config));
  json::object special_tokens;
  take_special_tokens(tokenizer_config, special_tokens);
  // Folders written before 2024 name them only here.
  take_special_tokens(TRY(read_object(folder / "special_tokens_map.json")), special_tokens);
  auto parsed = parse(source, {});
  if (!parsed) {
    Error error = parsed.take_error();
    error.message = folder.string() + ": " + error.message;
    return error;
  }
  parsed->impl_->special_tokens = std::move(special_tokens);
  return parsed;
}

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, SpecialTokens special_tokens) {
  auto impl = std::make_unique<Impl>();
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

Result<std::string> ChatTemplate::render(std::span<const Message> messages, const Options& options) const {
  json::array list;
  list.reserve(messages.size());
  for (const Message& message : messages) list.emplace_back(to_json(message));
  return render_json(json::serialize(list), options);
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
