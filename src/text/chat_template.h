// A model's chat template, rendered as Hugging Face transformers does (Jinja2 with trim_blocks and
// lstrip_blocks). Immutable, thread-safe. Rendering is bounded in steps and output.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "generation/message.h"

namespace mlxd {

class ChatTemplate {
 public:
  struct SpecialTokens {
    std::string bos_token, eos_token, pad_token, unk_token;
  };

  /// The folder's default template. kNotFound if the folder has none.
  static Result<ChatTemplate> open(const std::filesystem::path& folder);
  /// All of a folder's templates by name ("default", "tool_use", "rag"): chat_template.jinja and
  /// additional_chat_templates/NAME.jinja, else chat_template.json, else tokenizer_config.json's
  /// `chat_template` (a string is the default one, a list has names). Errors as open.
  static Result<std::map<std::string, ChatTemplate>> open_all(const std::filesystem::path& folder);
  static Result<ChatTemplate> parse(std::string_view source, SpecialTokens special_tokens);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  struct Options {
    bool add_generation_prompt = true;
    std::string extra_json =
        "{}";  // object of further variables (tools, enable_thinking, …); its key order is kept
  };
  /// As it was parsed.
  const std::string& source() const;
  /// Errors: kInvalidArgument with the template's own message (raise_exception) or the line and cause.
  Result<std::string> render(std::span<const Message> messages, const Options& options) const;
  /// As above with the messages as a JSON array, key order kept.
  Result<std::string> render_json(std::string_view messages_json, const Options& options) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxd
